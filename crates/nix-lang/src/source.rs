//! Source files and positions.
//!
//! A position is one number: the place of its file in the order of loading, plus the byte offset. Only a table of line starts is
//! kept for a file; its text is read again when an error must show it. Text that no file holds (`-E`, the repl) is kept.

/// A byte of some source. Zero is "nowhere".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[repr(transparent)]
pub struct Pos(pub u32);

impl Pos {
    pub const NONE: Pos = Pos(0);
}

/// Where a text came from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    File(Box<[u8]>),
    Stdin(Box<[u8]>),
    String(Box<[u8]>),
    /// The definition of `derivation`, which nobody wrote who reads of it in an error.
    Prelude,
}

/// What the prelude is called, as in CppNix's messages.
pub const PRELUDE: &str = "<nix/derivation-internal.nix>";

struct Source {
    base: u32,
    len: u32,
    origin: Origin,
    line_starts: Box<[u32]>,
}

/// A position, resolved. Lines and columns count from one; a column counts bytes, as CppNix does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    pub origin: Origin,
    pub line: u32,
    pub column: u32,
}

#[derive(Default)]
pub struct SourceMap {
    sources: Vec<Source>,
    next: u32,
}

impl SourceMap {
    /// Registers a text and gives the position of its first byte. None when 4 GiB of sources are used up.
    pub fn add(&mut self, origin: Origin, text: &[u8]) -> Option<Pos> {
        let base = self.next.max(1);
        let len = u32::try_from(text.len()).ok()?;
        self.next = base.checked_add(len)?.checked_add(1)?;
        let mut line_starts = Vec::with_capacity(1 + text.len() / 40);
        line_starts.push(0);
        line_starts.extend(memchr::memchr_iter(b'\n', text).map(|at| at as u32 + 1));
        self.sources.push(Source { base, len, origin, line_starts: line_starts.into_boxed_slice() });
        Some(Pos(base))
    }

    fn source(&self, pos: Pos) -> Option<&Source> {
        let at = self.sources.partition_point(|s| s.base <= pos.0).checked_sub(1)?;
        Some(&self.sources[at]).filter(|source| pos.0 - source.base <= source.len)
    }

    /// Whether a position is in the prelude.
    pub fn is_prelude(&self, pos: Pos) -> bool {
        self.source(pos).is_some_and(|source| source.origin == Origin::Prelude)
    }

    /// File, line and column of a position.
    pub fn place(&self, pos: Pos) -> Option<Place> {
        let source = self.source(pos)?;
        let offset = pos.0 - source.base;
        let line = source.line_starts.partition_point(|&s| s <= offset) as u32;
        let column = offset - source.line_starts[line as usize - 1] + 1;
        Some(Place { origin: source.origin.clone(), line, column })
    }
}
