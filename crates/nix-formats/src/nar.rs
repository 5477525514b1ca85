//! NAR, the archive that Nix hashes and ships: one file, symlink or tree, and nothing about it that is not reproducible.
//!
//! Purpose: [`NarWriter`] writes one piece by piece, [`dump_path`] from the file system, [`parse`] reads one for a [`Visitor`],
//! and [`restore`] makes files of it; [`copy_path`] makes files of files and writes the NAR on the way. `dump` and `restore` live in
//! modules of their own.
//!
//! The format: every word and every file's contents is a length (64 bits, little-endian), the bytes, and zeros up to a multiple
//! of eight. A node is `( type regular [executable ""] contents <bytes> )`, `( type symlink target <bytes> )` or
//! `( type directory { entry ( name <bytes> node <node> ) } )`, with the names in bytewise order.
//!
//! Invariants: memory does not depend on the size of a file. Reading trusts nothing: names that could leave the tree, names
//! out of order or twice, padding that is not zero, bytes missing and bytes left over are all errors, and depth, names and
//! targets have limits. Reading an archive does not recurse; dumping does, no deeper than the limit.

mod dump;
mod parse;
mod restore;
mod writer;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

pub use dump::{copy_path, dump_path, dump_to_file, hash_path, hash_regular, FileType};
pub use parse::{parse, parse_prefix, Contents, Visitor};
pub use restore::{restore, restore_from_file, restore_prefix, RestoreOptions};
pub use writer::NarWriter;

/// The word that a NAR begins with.
pub const MAGIC: &[u8] = b"nix-archive-1";
/// How deep directories may lie in one another. No path on Linux reaches it.
pub const MAX_DEPTH: usize = 1024;
/// The longest name of an entry, which is that of Linux.
pub const MAX_NAME_LEN: usize = 255;
/// The longest target of a symlink, which is that of Linux.
pub const MAX_TARGET_LEN: usize = 4095;

/// How many bytes are read or written at once: as much as a processor's cache holds with ease.
const CHUNK: usize = 256 * 1024;

/// The file behind a reader or a writer, at the place that is next; None while it holds something back, or if there is no file.
pub type Behind<S> = fn(&mut S) -> io::Result<Option<&File>>;

/// Has the kernel copy from file to file, at most `len` bytes, without showing them; gives how many, 0 if it will not, or at the end.
fn send(from: &File, to: &File, len: u64) -> io::Result<u64> {
    // At most so much at once, that a signal is heard.
    const MOST: u64 = 8 << 20;
    match rustix::fs::sendfile(to, from, None, len.min(MOST) as usize) {
        Ok(n) => Ok(n as u64),
        // A pipe to read from, or a file to be appended to.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::INTR) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// What can go wrong with a NAR.
#[derive(Debug, Error)]
pub enum Error {
    #[error("reading NAR: {0}")]
    Read(io::Error),
    #[error("writing NAR: {0}")]
    Write(io::Error),
    #[error("{action} `{}`: {source}", path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    #[error("file is neither regular, nor a directory, nor a symlink: `{}`", .0.display())]
    UnsupportedFile(PathBuf),
    #[error("file changed while it was read: `{}`", .0.display())]
    FileChanged(PathBuf),
    #[error("NAR ends too early, after {offset} bytes")]
    Truncated { offset: u64 },
    #[error("NAR has bytes after its end, at offset {offset}")]
    Trailing { offset: u64 },
    #[error("malformed NAR: {reason} at offset {offset}")]
    Malformed { offset: u64, reason: Malformed },
    #[error("NAR cannot be written: {0}")]
    Refused(Malformed),
    #[error("NAR writer called out of turn: {0}")]
    OutOfTurn(&'static str),
}

/// What is wrong in an archive.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Malformed {
    #[error("not a NAR")]
    Magic,
    #[error("`{0}` expected")]
    Expected(&'static str),
    #[error("unknown file type `{0}`")]
    Type(String),
    #[error("padding is not zero")]
    Padding,
    #[error("text of {len} bytes where at most {max} are allowed")]
    Length { len: u64, max: usize },
    #[error("illegal name of an entry `{0}`")]
    Name(String),
    #[error("names are not in order at `{0}`")]
    Order(String),
    #[error("illegal target of a symlink")]
    Target,
    #[error("directories lie deeper than {MAX_DEPTH}")]
    Depth,
}

fn file_error<'p>(action: &'static str, path: &'p Path) -> impl Fn(io::Error) -> Error + Copy + use<'p> {
    move |source| Error::File { action, path: path.to_owned(), source }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Zeros that follow `len` bytes.
const fn padding(len: u64) -> usize {
    (8 - (len % 8) as usize) % 8
}

fn check_entry_name(name: &[u8]) -> Result<(), Malformed> {
    if name.is_empty() || name == b"." || name == b".." || name.len() > MAX_NAME_LEN || memchr::memchr2(b'/', 0, name).is_some() {
        return Err(Malformed::Name(lossy(name)));
    }
    Ok(())
}

fn check_order(previous: Option<&[u8]>, name: &[u8]) -> Result<(), Malformed> {
    match previous {
        Some(previous) if previous >= name => Err(Malformed::Order(lossy(name))),
        _ => Ok(()),
    }
}

fn check_target(target: &[u8]) -> Result<(), Malformed> {
    if target.is_empty() || target.len() > MAX_TARGET_LEN || target.contains(&0) {
        return Err(Malformed::Target);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
