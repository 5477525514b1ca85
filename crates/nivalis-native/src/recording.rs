//! What an evaluation looked at, so that its result can be used again as long as all of that is the same.
//!
//! A file is remembered by what `stat` says of it, taken of the open file before it is read; one that was changed so recently that a
//! further change could leave the same times is remembered by its content too. All else is remembered by the very answer that was
//! given: a folder by a hash of its entries' names and types, a symlink by its target. So symlinks on the way need no record of their
//! own: where they lead elsewhere and the answers are the same, the result is.
//!
//! What is below a store path is not remembered: the path itself is, and its content never changes while it is valid.
//!
//! An answer that differs from an earlier one, and a file whose content `stat` knows nothing of (a pipe, a device), make the result
//! unfit to be kept. `nivalis.lang.cache` keeps recordings, and asks the same questions again.

use crate::lang::decode;
use nix_formats::hash::{Format, Hash, HashType};
use nix_lang::world::FileType;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

/// Times of files are this coarse on the coarsest file systems.
const GRAIN_NS: i128 = 2_000_000_000;

/// What the recording of all that was said may hold, in bytes.
const MESSAGES_LIMIT: usize = 16 << 20;

/// `stat` of a regular file, symlinks followed: a change of content or of the executable bit changes it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub modified: i128,
    pub changed: i128,
    pub size: u64,
    pub inode: u64,
    pub mode: u32,
}

impl Stamp {
    /// The stamp, and whether a later change could leave the same one. To be taken before the file is read: a change meanwhile may
    /// have the time at which it was taken, but none that is a grain older.
    pub(crate) fn of(meta: &std::fs::Metadata) -> (Stamp, bool) {
        let nanoseconds = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        let (modified, changed) = (nanoseconds(meta.mtime(), meta.mtime_nsec()), nanoseconds(meta.ctime(), meta.ctime_nsec()));
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as i128);
        let recent = now - modified.max(changed) < GRAIN_NS;
        (Stamp { modified, changed, size: meta.size(), inode: meta.ino(), mode: meta.mode() }, recent)
    }
}

#[derive(PartialEq, Eq)]
pub(crate) enum Seen {
    /// A file's content: the hash beside it where the stamp alone cannot be trusted.
    File(Stamp, Option<String>),
    /// A folder's entries, as `listing_hash` has them.
    Listing(String),
    /// What is at the path itself: `r`, `d`, `l`, `u`, or `-` for nothing.
    Type(char),
    /// Whether something is there, symlinks followed.
    Exists(bool),
    Link(Vec<u8>),
}

#[derive(Default)]
struct State {
    /// By kind of question (`f`ile, `d`ir, `t`ype, `e`xists, `l`ink) and path.
    seen: HashMap<(char, Vec<u8>), Seen>,
    variables: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// Store paths that were looked into or that the result depends on.
    store_paths: BTreeSet<Vec<u8>>,
    /// Store paths that were written, without those that another of them refers to.
    written: BTreeSet<Vec<u8>>,
    referred: BTreeSet<Vec<u8>>,
    messages: Vec<(&'static str, Vec<u8>)>,
    messages_bytes: usize,
    /// Why the result may not be kept.
    impure: Option<&'static str>,
}

#[derive(Clone)]
pub(crate) struct Recording {
    on: bool,
    state: Arc<Mutex<State>>,
}

pub(crate) fn letter(kind: Option<FileType>) -> char {
    match kind {
        Some(FileType::Regular) => 'r',
        Some(FileType::Directory) => 'd',
        Some(FileType::Symlink) => 'l',
        Some(FileType::Unknown) => 'u',
        None => '-',
    }
}

/// The hash of a folder's listing: each entry's name, a zero byte and the letter of its type, in the order of the names.
pub(crate) fn listing_hash(entries: &[(Vec<u8>, FileType)]) -> String {
    let mut entries: Vec<_> = entries.iter().collect();
    entries.sort();
    let mut text = Vec::new();
    for (name, kind) in entries {
        text.extend_from_slice(name);
        text.extend_from_slice(&[0, letter(Some(*kind)) as u8]);
    }
    content_hash(&text)
}

pub(crate) fn content_hash(text: &[u8]) -> String {
    Hash::of(HashType::Sha256, text).format(Format::Base16)
}

impl Recording {
    pub(crate) fn new(on: bool) -> Self {
        Recording { on, state: Arc::default() }
    }

    fn with(&self, work: impl FnOnce(&mut State)) {
        if self.on {
            if let Ok(mut state) = self.state.lock() {
                work(&mut state);
            }
        }
    }

    /// Remembers an answer. A second one that differs means that the world changed meanwhile.
    pub(crate) fn saw(&self, question: char, path: &[u8], answer: impl FnOnce() -> Seen) {
        self.with(|s| {
            let answer = answer();
            match s.seen.entry((question, path.to_vec())) {
                Entry::Vacant(place) => {
                    place.insert(answer);
                }
                Entry::Occupied(mut known) => match (known.get_mut(), answer) {
                    // The same stamp, but only one of the two was taken while it could not be trusted.
                    (Seen::File(first, hash), Seen::File(again, other)) if *first == again && (hash.is_none() || other.is_none()) => {
                        *hash = hash.take().or(other);
                    }
                    (first, again) if *first == again => {}
                    _ => s.impure = Some("something was changed during the evaluation"),
                },
            }
        });
    }
    pub(crate) fn variable(&self, name: &[u8], value: &Option<Vec<u8>>) {
        self.with(|s| {
            s.variables.insert(name.to_vec(), value.clone());
        });
    }
    pub(crate) fn store_path(&self, path: &[u8]) {
        self.with(|s| {
            s.store_paths.insert(path.to_vec());
        });
    }
    pub(crate) fn wrote(&self, path: &[u8], references: &[&[u8]]) {
        self.with(|s| {
            for reference in references {
                if *reference != path {
                    s.written.remove(*reference);
                    s.referred.insert(reference.to_vec());
                }
            }
            if !s.referred.contains(path) {
                s.written.insert(path.to_vec());
            }
        });
    }
    pub(crate) fn message(&self, kind: &'static str, text: &[u8]) {
        self.with(|s| {
            s.messages_bytes += text.len() + 64;
            if s.messages_bytes > MESSAGES_LIMIT {
                s.messages = Vec::new();
                s.impure = Some("too many traces and warnings");
            } else {
                s.messages.push((kind, text.to_vec()));
            }
        });
    }
    pub(crate) fn impure(&self, why: &'static str) {
        self.with(|s| s.impure = Some(why));
    }

    /// A dict: `seen` (tuples of question, path, answer), `variables` (values or None), `store_paths` (those looked into), `written`
    /// (those made), `messages` (pairs of kind and text) and `impure` (why it may not be kept, or None).
    pub(crate) fn to_python<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let state = self.state.lock().map_err(|_| pyo3::exceptions::PyRuntimeError::new_err("the recording is lost"))?;
        let seen = PyList::empty(py);
        for ((question, path), answer) in &state.seen {
            let path = decode(py, path)?;
            let question = question.to_string();
            match answer {
                Seen::File(s, hash) => seen.append((question, path, s.modified, s.changed, s.size, s.inode, s.mode, hash))?,
                Seen::Listing(hash) => seen.append((question, path, hash))?,
                Seen::Type(kind) => seen.append((question, path, kind.to_string()))?,
                Seen::Exists(exists) => seen.append((question, path, *exists))?,
                Seen::Link(target) => seen.append((question, path, decode(py, target)?))?,
            }
        }
        let variables = PyDict::new(py);
        for (name, value) in &state.variables {
            variables.set_item(decode(py, name)?, value.as_ref().map(|v| decode(py, v)).transpose()?)?;
        }
        let paths = |set: &BTreeSet<Vec<u8>>| set.iter().map(|path| decode(py, path)).collect::<PyResult<Vec<_>>>();
        let messages = PyList::empty(py);
        for (kind, text) in &state.messages {
            messages.append((*kind, PyBytes::new(py, text)))?;
        }
        let out = PyDict::new(py);
        out.set_item("seen", seen)?;
        out.set_item("variables", variables)?;
        out.set_item("store_paths", paths(&state.store_paths)?)?;
        out.set_item("written", paths(&state.written)?)?;
        out.set_item("messages", messages)?;
        out.set_item("impure", state.impure)?;
        Ok(out.into_any())
    }
}
