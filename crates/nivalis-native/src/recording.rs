//! What an evaluation looked at, so that its result can be used again as long as all of that is the same.
//!
//! A file is remembered by what `stat` says of it (taken before it is read); one that was changed so recently that a further change
//! could leave the same times is remembered by its content too. What is below a store path is not remembered: the path itself is, and
//! its content never changes while it is valid.

use crate::lang::decode;
use nix_formats::hash::{Format, Hash, HashType};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

/// Times of files are this coarse on the coarsest file systems.
const GRAIN_NS: i128 = 2_000_000_000;

/// `stat` of a file or folder, symlinks followed: a change of content or kind changes it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub modified: i64,
    pub changed: i64,
    pub size: u64,
    pub inode: u64,
    pub recent: bool,
}

impl Stamp {
    pub(crate) fn of(meta: &std::fs::Metadata) -> Stamp {
        let (modified, changed) = (meta.mtime() * 1_000_000_000 + meta.mtime_nsec(), meta.ctime() * 1_000_000_000 + meta.ctime_nsec());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as i128);
        let recent = now - i128::from(modified.max(changed)) < GRAIN_NS;
        Stamp { modified, changed, size: meta.size(), inode: meta.ino(), recent }
    }
}

pub(crate) enum Seen {
    /// The content of a file or the names in a folder; the hash where the stamp alone cannot be trusted.
    Content(Stamp, Option<String>),
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
    /// Why the result may not be kept.
    impure: Option<&'static str>,
}

#[derive(Clone)]
pub(crate) struct Recording {
    on: bool,
    state: Arc<Mutex<State>>,
}

/// The hash of a folder's listing.
pub(crate) fn listing_hash(entries: &[(Vec<u8>, char)]) -> String {
    let mut entries: Vec<_> = entries.iter().collect();
    entries.sort();
    let mut text = Vec::new();
    for (name, kind) in entries {
        text.extend_from_slice(name);
        text.extend_from_slice(&[0, *kind as u8]);
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
    pub(crate) fn saw(&self, question: char, path: &[u8], seen: impl FnOnce() -> Seen) {
        self.with(|s| {
            s.seen.entry((question, path.to_vec())).or_insert_with(seen);
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
        self.with(|s| s.messages.push((kind, text.to_vec())));
    }
    pub(crate) fn impure(&self, why: &'static str) {
        self.with(|s| s.impure = Some(why));
    }

    /// A dict: `seen` (tuples), `variables`, `store_paths`, `messages`, `impure`.
    pub(crate) fn to_python<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let state = self.state.lock().map_err(|_| pyo3::exceptions::PyRuntimeError::new_err("the recording is lost"))?;
        let seen = PyList::empty(py);
        for ((question, path), answer) in &state.seen {
            let path = decode(py, path)?;
            let question = question.to_string();
            match answer {
                Seen::Content(stamp, hash) => {
                    let hash = hash.as_ref().filter(|_| stamp.recent);
                    seen.append((question, path, stamp.modified, stamp.changed, stamp.size, stamp.inode, hash))?;
                }
                Seen::Type(kind) => seen.append((question, path, kind.to_string()))?,
                Seen::Exists(exists) => seen.append((question, path, *exists))?,
                Seen::Link(target) => seen.append((question, path, decode(py, target)?))?,
            }
        }
        let variables = PyDict::new(py);
        for (name, value) in &state.variables {
            variables.set_item(decode(py, name)?, value.as_ref().map(|v| decode(py, v)).transpose()?)?;
        }
        let store_paths = PyList::empty(py);
        for path in state.store_paths.union(&state.written) {
            store_paths.append(decode(py, path)?)?;
        }
        let messages = PyList::empty(py);
        for (kind, text) in &state.messages {
            messages.append((*kind, PyBytes::new(py, text)))?;
        }
        let out = PyDict::new(py);
        out.set_item("seen", seen)?;
        out.set_item("variables", variables)?;
        out.set_item("store_paths", store_paths)?;
        out.set_item("messages", messages)?;
        out.set_item("impure", state.impure)?;
        Ok(out.into_any())
    }
}
