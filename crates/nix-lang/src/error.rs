//! Errors of the language.
//!
//! One type serves parser and evaluator. Each error has a stable `Code`, a message, a place and a trace. Only `throw` and failed
//! assertions can be caught by `tryEval`; everything else ends the evaluation. `Code::Internal` is a bug of ours and says so.

use crate::source::Pos;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// The stable class of an error, shown as `error[code]`.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Code { $($(#[$doc])* $name,)* }
        impl Code {
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => $text,)* }
            }
        }
    };
}

codes! {
    Syntax = "syntax-error",
    UndefinedVariable = "undefined-variable",
    MissingAttribute = "missing-attribute",
    MissingArgument = "missing-argument",
    UnexpectedArgument = "unexpected-argument",
    DuplicateAttribute = "duplicate-attribute",
    Type = "type-error",
    NotAFunction = "not-a-function",
    /// A value of the right type that the function cannot take.
    InvalidArgument = "invalid-argument",
    OutOfBounds = "out-of-bounds",
    DivisionByZero = "division-by-zero",
    IntegerOverflow = "integer-overflow",
    InfiniteRecursion = "infinite-recursion",
    StackOverflow = "stack-overflow",
    /// The values take more memory than the settings allow.
    OutOfMemory = "out-of-memory",
    AssertionFailed = "assertion-failed",
    Thrown = "thrown",
    Aborted = "aborted",
    /// A string's context where none may be.
    Context = "string-context",
    Regex = "invalid-regex",
    Json = "invalid-json",
    Toml = "invalid-toml",
    InvalidStorePath = "invalid-store-path",
    InvalidDerivation = "invalid-derivation",
    HashMismatch = "hash-mismatch",
    FileNotFound = "file-not-found",
    Io = "io-error",
    SearchPath = "search-path",
    NotBuilt = "not-built",
    Fetch = "fetch-failed",
    /// A part of Nix that is absent here on purpose.
    Unsupported = "unsupported",
    /// Forbidden by the settings (pure or restricted evaluation, a feature not enabled).
    Forbidden = "forbidden",
    Interrupted = "interrupted",
    /// The world (store, network) failed; the message is its own.
    World = "world",
    Internal = "internal-bug",
}

impl Code {
    /// Whether `builtins.tryEval` turns it into `{ success = false; }`.
    pub fn is_catchable(self) -> bool {
        matches!(self, Code::Thrown | Code::AssertionFailed | Code::SearchPath)
    }
}

/// One step of the way to the error, innermost first.
#[derive(Clone, Debug)]
pub struct Frame {
    pub pos: Pos,
    pub text: String,
}

#[derive(Clone, Debug)]
pub struct Error {
    pub code: Code,
    pub message: String,
    pub pos: Pos,
    pub hint: Option<String>,
    pub trace: Vec<Frame>,
    /// Frames left out in the middle of the trace.
    pub omitted: usize,
}

impl Error {
    pub fn new(code: Code, pos: Pos, message: impl Into<String>) -> Box<Self> {
        Box::new(Error { code, message: message.into(), pos, hint: None, trace: Vec::new(), omitted: 0 })
    }

    pub fn with_hint(mut self: Box<Self>, hint: impl Into<String>) -> Box<Self> {
        self.hint = Some(hint.into());
        self
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "error[{}]: {}", self.code.as_str(), self.message)
    }
}

impl std::error::Error for Error {}

/// Names near `wanted` among `names`, best first: at most three, by Damerau-Levenshtein distance of at most a third of the length.
pub fn near_names<'n>(wanted: &[u8], names: impl Iterator<Item = &'n [u8]>) -> Vec<String> {
    let limit = (wanted.len() / 3).max(1);
    let mut found: Vec<(usize, &[u8])> = names
        .filter(|n| n.len().abs_diff(wanted.len()) <= limit)
        .filter_map(|n| Some((edit_distance(wanted, n), n)).filter(|(d, _)| *d <= limit))
        .collect();
    found.sort();
    found.truncate(3);
    found.into_iter().map(|(_, n)| String::from_utf8_lossy(n).into_owned()).collect()
}

/// "did you mean" as a sentence, or none.
pub fn did_you_mean<'n>(wanted: &[u8], names: impl Iterator<Item = &'n [u8]>) -> Option<String> {
    let near = near_names(wanted, names);
    let (last, rest) = near.split_last()?;
    Some(if rest.is_empty() { format!("did you mean `{last}`?") } else { format!("did you mean one of `{}` or `{last}`?", rest.join("`, `")) })
}

fn edit_distance(a: &[u8], b: &[u8]) -> usize {
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let swap = usize::from(a[i - 1] != b[j - 1]);
            row[j] = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + swap);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}
