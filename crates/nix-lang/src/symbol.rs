//! Interned names.
//!
//! Attribute and variable names are compared far more often than they are read, so each distinct name becomes one `Sym`.
//! Symbols are numbered in order of first use: their order says nothing of the alphabet. One table belongs to one evaluator.

use crate::arena::Arena;
use std::hash::{BuildHasherDefault, Hasher};

/// The number of an interned name. Zero is the empty name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct Sym(pub u32);

/// FxHash (Firefox's multiply-and-rotate hash): names are short and come from the user's own files.
#[derive(Default, Clone, Copy)]
pub struct FxHasher(u64);

const FX: u64 = 0x517c_c1b7_2722_0a95;

impl FxHasher {
    #[inline]
    fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(FX);
    }
}

impl Hasher for FxHasher {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            self.add(u64::from_le_bytes(chunk.try_into().unwrap()));
        }
        let mut last = bytes.len() as u64;
        for &b in chunks.remainder() {
            last = (last << 8) | u64::from(b);
        }
        self.add(last);
    }
    #[inline]
    fn write_u32(&mut self, n: u32) {
        self.add(u64::from(n));
    }
    #[inline]
    fn write_u64(&mut self, n: u64) {
        self.add(n);
    }
    #[inline]
    fn write_usize(&mut self, n: usize) {
        self.add(n as u64);
    }
    #[inline]
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }
}

pub type FxBuild = BuildHasherDefault<FxHasher>;
pub type FxMap<K, V> = std::collections::HashMap<K, V, FxBuild>;
pub type FxSet<K> = std::collections::HashSet<K, FxBuild>;

/// The table of names. The bytes live in the evaluator's arena.
pub struct Symbols<'a> {
    arena: &'a Arena,
    names: Vec<&'a [u8]>,
    index: FxMap<&'a [u8], Sym>,
}

impl<'a> Symbols<'a> {
    pub fn new(arena: &'a Arena) -> Self {
        let mut table = Symbols { arena, names: Vec::with_capacity(1024), index: FxMap::default() };
        table.intern(b"");
        table
    }

    #[inline]
    pub fn intern(&mut self, name: &[u8]) -> Sym {
        if let Some(&sym) = self.index.get(name) {
            return sym;
        }
        let kept: &'a [u8] = self.arena.alloc_slice_copy(name);
        let sym = Sym(self.names.len() as u32);
        self.names.push(kept);
        self.index.insert(kept, sym);
        sym
    }

    /// The symbol of a name that was interned before, or none.
    #[inline]
    pub fn find(&self, name: &[u8]) -> Option<Sym> {
        self.index.get(name).copied()
    }

    #[inline]
    pub fn name(&self, sym: Sym) -> &'a [u8] {
        self.names[sym.0 as usize]
    }

    pub fn len(&self) -> usize {
        self.names.len()
    }

    pub fn is_empty(&self) -> bool {
        false
    }
}
