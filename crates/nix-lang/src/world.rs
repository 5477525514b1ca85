//! The one door to everything outside the language.
//!
//! The evaluator is a pure function of its inputs and of what this trait answers. An implementation decides what may be read, keeps
//! the store and talks to the network; it may also record each question, which is what the evaluation cache does.
//! Paths are absolute byte strings, canonical but with symlinks not resolved.

use crate::error::Code;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum FileType {
    Regular,
    Directory,
    Symlink,
    Unknown,
}

impl FileType {
    pub fn as_str(self) -> &'static str {
        match self {
            FileType::Regular => "regular",
            FileType::Directory => "directory",
            FileType::Symlink => "symlink",
            FileType::Unknown => "unknown",
        }
    }
}

/// What went wrong outside. The evaluator adds the position.
#[derive(Clone, Debug)]
pub struct WorldError {
    pub code: Code,
    pub message: String,
    pub hint: Option<String>,
}

impl WorldError {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        WorldError { code, message: message.into(), hint: None }
    }
}

pub type WorldResult<T> = Result<T, WorldError>;

/// The paths below (not including) a folder that are to be kept when it is added; all others are left out.
pub type Kept = std::collections::HashSet<Vec<u8>>;

/// How a path's content is hashed when it is added to the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AddMethod {
    Flat,
    Nar,
}

/// What `fetchurl`, `fetchTarball`, `fetchGit` … ask for.
pub struct FetchRequest<'r> {
    /// `fetchurl`, `fetchTarball` or `fetchGit`
    pub kind: &'r str,
    /// Arguments as strings (booleans as `"1"` and `""`), in the order of the builtin's documentation.
    pub args: &'r [(&'r str, Vec<u8>)],
}

/// What was fetched: a store path, and attributes beside it (`rev`, `lastModified` …; numbers as decimal text).
pub struct Fetched {
    pub store_path: Vec<u8>,
    pub attrs: Vec<(String, FetchedAttr)>,
}

pub enum FetchedAttr {
    Text(Vec<u8>),
    Int(i64),
    Bool(bool),
}

pub trait World {
    fn read_file(&mut self, path: &[u8]) -> WorldResult<Vec<u8>>;
    fn read_dir(&mut self, path: &[u8]) -> WorldResult<Vec<(Vec<u8>, FileType)>>;
    /// Type of what is at the path itself (symlinks are not followed); none if there is nothing.
    fn file_type(&mut self, path: &[u8]) -> WorldResult<Option<FileType>>;
    /// What the symlink at the path says.
    fn read_link(&mut self, path: &[u8]) -> WorldResult<Vec<u8>>;
    /// The name that a path has in the language: that of the store, where it is the place of a store's file.
    fn logical_path(&self, path: Vec<u8>) -> Vec<u8> {
        path
    }
    /// Whether there is something at the path, symlinks followed.
    fn exists(&mut self, path: &[u8]) -> WorldResult<bool>;
    fn env_var(&mut self, name: &[u8]) -> Option<Vec<u8>>;
    /// Seconds since 1970.
    fn current_time(&mut self) -> i64;
    /// The place of a search path's entry: a path as it is, a URL (`https:`, `channel:`) fetched. None if there is nothing.
    fn search_entry(&mut self, entry: &[u8]) -> WorldResult<Option<Vec<u8>>>;

    /// Adds a file or tree, or what is `kept` of it, to the store and gives the store path. With `expected`, that is the SHA-256 which the
    /// content must have.
    fn add_path(&mut self, path: &[u8], name: &[u8], method: AddMethod, kept: Option<&Kept>, expected: Option<&[u8; 32]>) -> WorldResult<Vec<u8>>;
    /// Adds a text file whose store path is already known.
    fn add_text(&mut self, store_path: &[u8], text: &[u8], references: &[&[u8]]) -> WorldResult<()>;
    /// Adds a `.drv` file whose store path is already known. `references` are sorted.
    fn add_derivation(&mut self, store_path: &[u8], aterm: &[u8], references: &[&[u8]]) -> WorldResult<()>;
    /// The content of a `.drv` file of the store.
    fn read_derivation(&mut self, store_path: &[u8]) -> WorldResult<Vec<u8>>;
    /// What a valid store path refers to (itself, perhaps, included).
    fn references(&mut self, store_path: &[u8]) -> WorldResult<Vec<Vec<u8>>>;
    /// A store path and all that it refers to, directly or not.
    fn closure(&mut self, store_path: &[u8]) -> WorldResult<Vec<Vec<u8>>>;
    /// Makes sure that a store path is valid (substituted if need be).
    fn ensure_path(&mut self, store_path: &[u8]) -> WorldResult<()>;
    /// Builds outputs of derivations, each `(drv path, output name)`.
    fn realise(&mut self, wanted: &[(&[u8], &[u8])]) -> WorldResult<()>;
    fn fetch(&mut self, request: &FetchRequest) -> WorldResult<Fetched>;

    /// Makes all that was added really be in the store.
    fn flush(&mut self) -> WorldResult<()>;

    /// A line of `builtins.trace`.
    fn trace(&mut self, message: &[u8]) -> WorldResult<()>;
    /// A line of `builtins.warn` and of the evaluator itself.
    fn warn(&mut self, message: &[u8]) -> WorldResult<()>;
    /// `builtins.break`: an evaluation that is debugged stops here. By default nothing happens.
    fn breakpoint(&mut self) -> WorldResult<()> {
        Ok(())
    }
}
