//! The world of a real machine: files natively, all else by a host object in Python.
//!
//! Reading is done here, since it is hot; each answer is noted in the recording. What evaluation adds to the store is only computed
//! here (its store path follows from its content) and gathered; the host gets it in batches, at the latest when somebody needs it
//! to be there. The host is `nivalis.lang.world.Host`.

use crate::lang::{decode, encode};
use crate::recording::{content_hash, letter, listing_hash, Recording, Seen, Stamp};
use crate::restricted::Allowed;
use nix_formats::hash::{Format, Hash, HashType};
use nix_formats::nar;
use nix_formats::store_path::{self, Method};
use nix_lang::error::Code;
use nix_lang::world::{AddMethod, FetchRequest, Fetched, FetchedAttr, FileType, Kept, World, WorldError, WorldResult};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyInt, PyList};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

pub(crate) struct HostSettings {
    pub host: Py<PyAny>,
    pub store_dir: String,
    pub real_store_dir: PathBuf,
    pub environment: HashMap<Vec<u8>, Vec<u8>>,
    /// Only the store may be read.
    pub pure: bool,
    /// Only this may be read and fetched.
    pub restricted: Option<Allowed>,
}

/// Something to be in the store whose path is known.
enum Pending {
    Text { text: Vec<u8>, references: Vec<Vec<u8>> },
    Source { from: Vec<u8>, name: Vec<u8>, method: AddMethod, kept: Option<Kept> },
}

/// Gathered bytes that are handed over without being asked for.
const BATCH_BYTES: usize = 1 << 20;
// As many as the kernel follows.
const MOST_LINKS: usize = 40;
/// Files up to this size are read at once when they are hashed.
const SMALL_FILE: u64 = 1 << 20;

pub(crate) struct FileWorld {
    settings: HostSettings,
    /// `/nix/store/`
    store_prefix: Vec<u8>,
    is_moved: bool,
    pending: Vec<(Vec<u8>, Pending)>,
    pending_index: HashMap<Vec<u8>, usize>,
    pending_bytes: usize,
    /// Store paths of the search path whose references have not been asked for yet.
    unasked: Vec<Vec<u8>>,
    recording: Recording,
    raised: Arc<Mutex<Option<PyErr>>>,
}

/// The parts of a path, the last one first.
fn split(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|&b| b == b'/').filter(|part| !part.is_empty() && part != b".").rev().map(<[u8]>::to_vec).collect()
}

fn as_path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn kind_of(t: fs::FileType) -> FileType {
    if t.is_file() {
        FileType::Regular
    } else if t.is_dir() {
        FileType::Directory
    } else if t.is_symlink() {
        FileType::Symlink
    } else {
        FileType::Unknown
    }
}

fn is_absent(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn forbidden(message: String) -> WorldError {
    let hint = "with the setting `restrict-eval`, only what the search path and `allowed-uris` name may be used";
    WorldError { hint: Some(hint.into()), ..WorldError::new(Code::Forbidden, message) }
}

fn forbidden_path(path: &[u8]) -> WorldError {
    forbidden(format!("access to absolute path '{}' is forbidden in restricted mode", shown(path)))
}

impl FileWorld {
    pub(crate) fn new(settings: HostSettings, recording: Recording, raised: Arc<Mutex<Option<PyErr>>>) -> Self {
        let store_prefix = format!("{}/", settings.store_dir).into_bytes();
        let is_moved = settings.real_store_dir != Path::new(&settings.store_dir);
        if settings.restricted.is_some() {
            // Which links were followed on the way is not recorded.
            recording.impure("the evaluation is restricted");
        }
        let mut world = FileWorld {
            settings,
            store_prefix,
            is_moved,
            pending: Vec::new(),
            pending_index: HashMap::new(),
            pending_bytes: 0,
            unasked: Vec::new(),
            recording,
            raised,
        };
        let places: Vec<Vec<u8>> = world.settings.restricted.iter().flat_map(Allowed::paths).cloned().collect();
        for place in places {
            let place = world.logical_path(place);
            world.allow(&place);
            if let Some(rest) = place.strip_prefix(world.store_prefix.as_slice()) {
                let base_len = rest.iter().position(|&b| b == b'/').unwrap_or(rest.len());
                world.unasked.push(place[..world.store_prefix.len() + base_len].to_vec());
            }
        }
        world
    }

    /// Where a path really is, that may be looked at; `follows` says whether a symlink there will be followed.
    fn place(&mut self, path: &[u8], follows: bool) -> WorldResult<(PathBuf, bool)> {
        if self.settings.restricted.is_none() {
            let found = self.locate(path)?;
            let is_there = |place: &Path| if follows { fs::metadata(place).is_ok() } else { fs::symlink_metadata(place).is_ok() };
            // Links on the way may name a moved store by its logical place, as those in a profile do.
            if !self.is_moved || is_there(&found.0) {
                return Ok(found);
            }
            return match self.resolve(path, follows) {
                Ok(resolved) => self.locate(&resolved),
                // Links in a circle: what is asked for fails as it does anywhere.
                Err(e) if e.code == Code::Io => Ok(found),
                Err(e) => Err(e),
            };
        }
        let resolved = self.resolve(path, follows)?;
        self.locate(&resolved)
    }

    /// The path with its symlinks followed, each step of which may be looked at.
    fn resolve(&mut self, path: &[u8], follows: bool) -> WorldResult<Vec<u8>> {
        let mut done: Vec<u8> = Vec::new();
        let mut rest: Vec<Vec<u8>> = split(&self.logical_path(path.to_vec()));
        let mut links = 0;
        if rest.is_empty() {
            self.check_step(b"/", path)?;
        }
        while let Some(part) = rest.pop() {
            if part == b".." {
                done.truncate(done.iter().rposition(|&b| b == b'/').unwrap_or(0));
                continue;
            }
            let next = [&done, &b"/"[..], &part].concat();
            self.check_step(&next, path)?;
            if rest.is_empty() && !follows {
                return Ok(next);
            }
            // The folders above the store are there for it.
            let target = if self.store_prefix.starts_with(&[&next, &b"/"[..]].concat()) {
                None
            } else {
                let (real, stored) = self.locate(&next)?;
                fs::read_link(real).ok().map(|target| (target.into_os_string().into_vec(), stored))
            };
            let Some((target, stored)) = target else {
                done = next;
                continue;
            };
            if !stored {
                self.recording.saw('l', &next, || Seen::Link(target.clone()));
            }
            links += 1;
            if links > MOST_LINKS {
                return Err(WorldError::new(Code::Io, format!("too many symbolic links: '{}'", shown(path))));
            }
            let mut whole = if target.starts_with(b"/") { target } else { [&done, &b"/"[..], &target].concat() };
            for part in rest.iter().rev() {
                whole.push(b'/');
                whole.extend_from_slice(part);
            }
            rest = split(&self.logical_path(whole));
            done.clear();
        }
        Ok(if done.is_empty() { b"/".to_vec() } else { done })
    }

    /// Where the symlinks on the way to `path` lead is not said.
    fn check_step(&mut self, step: &[u8], path: &[u8]) -> WorldResult<()> {
        if !self.is_seen(step) {
            self.ask_closures();
        }
        if self.is_seen(step) {
            return Ok(());
        }
        Err(forbidden_path(path))
    }

    fn is_seen(&self, path: &[u8]) -> bool {
        self.settings.restricted.as_ref().is_none_or(|allowed| allowed.has(path) || allowed.leads_on(path))
    }

    /// What the search path names in the store may be looked at with all that it refers to.
    fn ask_closures(&mut self) {
        for owner in std::mem::take(&mut self.unasked) {
            let paths: Vec<Vec<u8>> = self
                .ask(|py, host| host.call_method1("closure", (decode(py, &owner)?,))?.try_iter()?.map(|p| encode(&p?)).collect())
                .unwrap_or_default();
            paths.iter().for_each(|path| self.allow(path));
        }
    }

    fn allow(&mut self, path: &[u8]) {
        if let Some(allowed) = &mut self.settings.restricted {
            allowed.allow(path);
        }
    }

    /// Whether something may be fetched: an allowed address, or a file that may be read.
    fn check_uri(&mut self, uri: &[u8]) -> WorldResult<()> {
        let Some(allowed) = &self.settings.restricted else { return Ok(()) };
        if allowed.has_uri(uri) {
            return Ok(());
        }
        let file = uri.strip_prefix(b"file://").unwrap_or(uri);
        if file.starts_with(b"/") && !file.contains(&b'%') {
            let resolved = self.resolve(file, true)?;
            return self.check_whole(&resolved);
        }
        Err(forbidden(format!("access to URI '{}' is forbidden in restricted mode", shown(uri))))
    }

    /// Whether all of a path may be read, and not just that it leads on to something.
    fn check_whole(&self, path: &[u8]) -> WorldResult<()> {
        match &self.settings.restricted {
            Some(allowed) if !allowed.has(path) => Err(forbidden_path(path)),
            _ => Ok(()),
        }
    }

    /// Where a path really is. A path of the store must be there before it is read, and its content needs no recording.
    fn locate(&mut self, path: &[u8]) -> WorldResult<(PathBuf, bool)> {
        let Some(rest) = path.strip_prefix(self.store_prefix.as_slice()) else {
            if self.settings.pure {
                let message = format!("access to absolute path '{}' is forbidden in pure evaluation mode", shown(path));
                return Err(WorldError { hint: Some("`--impure` allows it".into()), ..WorldError::new(Code::Forbidden, message) });
            }
            return Ok((as_path(path).to_owned(), false));
        };
        let base_len = rest.iter().position(|&b| b == b'/').unwrap_or(rest.len());
        let owner = path[..self.store_prefix.len() + base_len].to_vec();
        if self.pending_index.contains_key(&owner) {
            self.flush()?;
        }
        self.recording.store_path(&owner);
        if !self.is_moved {
            return Ok((as_path(path).to_owned(), true));
        }
        Ok((self.settings.real_store_dir.join(as_path(rest)), true))
    }

    fn io_error(&self, e: &io::Error, path: &[u8]) -> WorldError {
        let code = if is_absent(e) { Code::FileNotFound } else { Code::Io };
        let message = match code {
            Code::FileNotFound => format!("path '{}' does not exist", shown(path)),
            _ => format!("path '{}' cannot be read: {}", shown(path), e),
        };
        WorldError::new(code, message)
    }

    /// Calls the host; an exception becomes an error and is kept as its cause.
    fn ask<T>(&self, work: impl FnOnce(Python<'_>, &Bound<'_, PyAny>) -> PyResult<T>) -> WorldResult<T> {
        Python::attach(|py| {
            work(py, self.settings.host.bind(py)).map_err(|raised| {
                let value = raised.value(py);
                let text = |name: &str| value.getattr(name).ok().and_then(|v| v.extract::<String>().ok());
                let code = match text("code") {
                    Some(code) => Code::ALL.iter().copied().find(|c| c.as_str() == code).unwrap_or(Code::World),
                    None if raised.is_instance_of::<pyo3::exceptions::PyKeyboardInterrupt>(py) => Code::Interrupted,
                    None => Code::World,
                };
                let message = text("message").unwrap_or_else(|| value.str().map_or_else(|_| "the host failed".into(), |s| s.to_string()));
                let hint = text("hint");
                if let Ok(mut slot) = self.raised.lock() {
                    *slot = Some(raised);
                }
                WorldError { code, message, hint }
            })
        })
    }

    fn gather(&mut self, store_path: &[u8], bytes: usize, pending: Pending) -> WorldResult<()> {
        if self.pending_index.contains_key(store_path) {
            return Ok(());
        }
        self.pending_index.insert(store_path.to_vec(), self.pending.len());
        self.pending.push((store_path.to_vec(), pending));
        self.pending_bytes += bytes + 200;
        if self.pending_bytes > BATCH_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn pending_text(&self, store_path: &[u8]) -> Option<(&[u8], &[Vec<u8>])> {
        match &self.pending.get(*self.pending_index.get(store_path)?)?.1 {
            Pending::Text { text, references } => Some((text, references)),
            Pending::Source { .. } => None,
        }
    }

    /// Records what is about to be hashed: a file by its content, or a tree by every folder's listing, file and symlink.
    fn record_source(&self, path: &[u8], method: AddMethod, kept: Option<&Kept>) -> io::Result<()> {
        if method == AddMethod::Flat {
            return self.record_file(path);
        }
        let meta = fs::symlink_metadata(as_path(path))?;
        self.recording.saw('t', path, || Seen::Type(letter(Some(kind_of(meta.file_type())))));
        self.record_node(path, kind_of(meta.file_type()), kept)
    }

    /// `kind` is recorded already, for what is below a folder by the folder's listing.
    fn record_node(&self, path: &[u8], kind: FileType, kept: Option<&Kept>) -> io::Result<()> {
        match kind {
            FileType::Regular => self.record_file(path),
            FileType::Symlink => {
                let target = fs::read_link(as_path(path))?;
                self.recording.saw('l', path, || Seen::Link(target.into_os_string().into_vec()));
                Ok(())
            }
            FileType::Directory => {
                let entries = list_dir(as_path(path))?;
                self.recording.saw('d', path, || Seen::Listing(listing_hash(&entries)));
                for (name, kind) in entries {
                    let below = [path, b"/", &name].concat();
                    if kept.is_none_or(|kept| kept.contains(&below)) {
                        self.record_node(&below, kind, kept)?;
                    }
                }
                Ok(())
            }
            FileType::Unknown => Ok(()),
        }
    }

    /// Records a file that is read only afterwards.
    fn record_file(&self, path: &[u8]) -> io::Result<()> {
        let meta = fs::metadata(as_path(path))?;
        let (stamp, recent) = Stamp::of(&meta);
        if !meta.is_file() {
            self.recording.impure("a file that is read is not a regular one");
            return Ok(());
        }
        // Below /proc and the like a file is empty by its size only.
        let trusted = !recent && meta.len() > 0;
        let hash = if trusted { None } else { Some(hash_file(as_path(path))?.format(Format::Base16)) };
        self.recording.saw('f', path, || Seen::File(stamp, hash));
        Ok(())
    }

    /// The SHA-256 of what is to be added.
    fn hash_source(&self, real: &Path, method: AddMethod, kept: Option<&Kept>) -> io::Result<Hash> {
        if method == AddMethod::Flat {
            return hash_file(real);
        }
        let Some(kept) = kept else {
            let meta = fs::symlink_metadata(real)?;
            if meta.is_file() && meta.len() <= SMALL_FILE {
                use std::os::unix::fs::PermissionsExt;
                let text = fs::read(real)?;
                return Ok(nar::hash_regular(&text, meta.permissions().mode() & 0o100 != 0, HashType::Sha256).0);
            }
            return nar::hash_path(real, HashType::Sha256).map(|h| h.0).map_err(nar_error);
        };
        let mut hasher = nix_formats::hash::Hasher::new(HashType::Sha256);
        let mut filter =
            |path: &Path, _: nar::FileType| -> Result<bool, nar::Error> { Ok(path == real || kept.contains(path.as_os_str().as_bytes())) };
        nar::dump_path(real, &mut hasher, &mut filter).map_err(nar_error)?;
        Ok(hasher.finish())
    }
}

fn nar_error(e: impl std::fmt::Display) -> io::Error {
    io::Error::other(e.to_string())
}

fn list_dir(real: &Path) -> io::Result<Vec<(Vec<u8>, FileType)>> {
    fs::read_dir(real)?
        .map(|entry| {
            let entry = entry?;
            Ok((entry.file_name().into_vec(), kind_of(entry.file_type()?)))
        })
        .collect()
}

fn hash_file(real: &Path) -> io::Result<Hash> {
    let mut file = fs::File::open(real)?;
    let mut hasher = nix_formats::hash::Hasher::new(HashType::Sha256);
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hasher.finish()),
            n => hasher.update(&buffer[..n]),
        }
    }
}

impl World for FileWorld {
    fn read_file(&mut self, path: &[u8]) -> WorldResult<Vec<u8>> {
        let (real, stored) = self.place(path, true)?;
        let read = || -> io::Result<(fs::Metadata, (Stamp, bool), Vec<u8>)> {
            let mut file = fs::File::open(&real)?;
            let meta = file.metadata()?;
            let stamp = Stamp::of(&meta);
            let mut text = Vec::with_capacity(meta.len() as usize + 1);
            file.read_to_end(&mut text)?;
            Ok((meta, stamp, text))
        };
        match read() {
            Ok((meta, (stamp, recent), text)) => {
                if !stored {
                    if !meta.is_file() {
                        self.recording.impure("a file that is read is not a regular one");
                    }
                    // Below /proc and the like, files are made while they are read, and `stat` knows neither their size nor their times.
                    let trusted = !recent && text.len() as u64 == meta.len();
                    self.recording.saw('f', path, || Seen::File(stamp, (!trusted).then(|| content_hash(&text))));
                }
                Ok(text)
            }
            Err(e) => {
                if is_absent(&e) && !stored {
                    self.recording.saw('e', path, || Seen::Exists(false));
                }
                Err(self.io_error(&e, path))
            }
        }
    }

    fn read_dir(&mut self, path: &[u8]) -> WorldResult<Vec<(Vec<u8>, FileType)>> {
        let resolved = self.resolve(path, true)?;
        let (real, stored) = self.locate(&resolved)?;
        match list_dir(&real) {
            Ok(mut entries) => {
                if self.settings.restricted.is_some() {
                    let folder = resolved.strip_suffix(b"/").unwrap_or(&resolved);
                    entries.retain(|(name, _)| self.is_seen(&[folder, b"/", name].concat()));
                }
                if !stored {
                    self.recording.saw('d', path, || Seen::Listing(listing_hash(&entries)));
                }
                Ok(entries)
            }
            Err(e) => Err(self.io_error(&e, path)),
        }
    }

    fn file_type(&mut self, path: &[u8]) -> WorldResult<Option<FileType>> {
        let (real, stored) = self.place(path, false)?;
        let found = match fs::symlink_metadata(&real) {
            Ok(meta) => Some(kind_of(meta.file_type())),
            Err(e) if is_absent(&e) => None,
            Err(e) => return Err(self.io_error(&e, path)),
        };
        if !stored {
            self.recording.saw('t', path, || Seen::Type(letter(found)));
        }
        Ok(found)
    }

    fn read_link(&mut self, path: &[u8]) -> WorldResult<Vec<u8>> {
        let (real, stored) = self.place(path, false)?;
        match fs::read_link(&real) {
            Ok(target) => {
                let target = target.into_os_string().into_vec();
                if !stored {
                    self.recording.saw('l', path, || Seen::Link(target.clone()));
                }
                Ok(target)
            }
            Err(e) => Err(self.io_error(&e, path)),
        }
    }

    // The links to a store under another root (`./result`) say where its files really are.
    fn logical_path(&self, path: Vec<u8>) -> Vec<u8> {
        let real = self.settings.real_store_dir.as_os_str().as_bytes();
        match path.strip_prefix(real).and_then(|rest| rest.strip_prefix(b"/")) {
            Some(rest) if self.is_moved && !rest.is_empty() => [&self.store_prefix, rest].concat(),
            _ => path,
        }
    }

    fn exists(&mut self, path: &[u8]) -> WorldResult<bool> {
        let (real, stored) = match self.place(path, true) {
            // What may not be looked at is not there.
            Err(e) if e.code == Code::Forbidden => return Ok(false),
            place => place?,
        };
        let found = fs::metadata(&real).is_ok();
        if !stored {
            self.recording.saw('e', path, || Seen::Exists(found));
        }
        Ok(found)
    }

    fn env_var(&mut self, name: &[u8]) -> Option<Vec<u8>> {
        if self.settings.restricted.is_some() {
            return None;
        }
        let value = self.settings.environment.get(name).cloned();
        self.recording.variable(name, &value);
        value
    }

    fn current_time(&mut self) -> i64 {
        self.recording.impure("currentTime");
        self.ask(|_, host| host.call_method0("current_time")?.extract()).unwrap_or(0)
    }

    fn search_entry(&mut self, entry: &[u8]) -> WorldResult<Option<Vec<u8>>> {
        let is_address = entry.starts_with(b"channel:") || entry.windows(3).any(|w| w == b"://");
        if !is_address {
            if !entry.starts_with(b"/") {
                // Only an expression names such a place; where it is depends on where the program was started.
                self.recording.impure("a relative place to look for files in");
                let folder = std::env::current_dir().map_err(|e| WorldError::new(Code::Io, format!("the working directory cannot be had: {e}")))?;
                return self.search_entry(folder.join(OsStr::from_bytes(entry)).as_os_str().as_bytes());
            }
            if self.settings.restricted.is_some() {
                // Not to be found and not to be looked for are different things.
                self.place(entry, true)?;
            }
            return Ok(self.exists(entry)?.then(|| entry.to_vec()));
        }
        // Whoever started the evaluation may name any address, the expressions only those that are allowed.
        if self.settings.restricted.as_ref().is_some_and(|allowed| !allowed.has(entry)) {
            self.check_uri(entry)?;
        }
        self.flush()?;
        self.recording.impure("a search path entry that is fetched");
        let found: Option<Vec<u8>> = self.ask(|py, host| {
            let found = host.call_method1("search_entry", (decode(py, entry)?,))?;
            if found.is_none() {
                return Ok(None);
            }
            encode(&found).map(Some)
        })?;
        if let Some(found) = &found {
            let logical = self.logical_path(found.clone());
            self.allow(&logical);
        }
        Ok(found)
    }

    fn add_path(&mut self, path: &[u8], name: &[u8], method: AddMethod, kept: Option<&Kept>, expected: Option<&[u8; 32]>) -> WorldResult<Vec<u8>> {
        let dir = self.settings.store_dir.clone();
        let fixed = if method == AddMethod::Nar { Method::Nar } else { Method::Flat };
        let text_name = store_path::check_name(name).map_err(|e| WorldError::new(Code::InvalidStorePath, e.to_string()))?.to_owned();
        let path_of = |hash: &Hash| -> WorldResult<Vec<u8>> {
            let made = match fixed {
                Method::Nar => store_path::make_source_path(&text_name, hash, &dir),
                _ => store_path::make_fixed_output_path(fixed, hash, &text_name, [], false, &dir),
            };
            made.map(|p| p.to_absolute(&dir).into_bytes()).map_err(|e| WorldError::new(Code::InvalidStorePath, e.to_string()))
        };
        if let Some(expected) = expected {
            let wanted = path_of(&Hash::sha256(*expected))?;
            if self.pending_index.contains_key(&wanted) {
                return Ok(wanted);
            }
            if self.ask(|py, host| host.call_method1("is_valid", (decode(py, &wanted)?,))?.extract::<bool>())? {
                self.recording.store_path(&wanted);
                self.allow(&wanted);
                return Ok(wanted);
            }
        }
        let resolved = self.resolve(path, method == AddMethod::Flat)?;
        self.check_whole(&resolved)?;
        let (real, stored) = self.locate(&resolved)?;
        if !stored {
            self.record_source(path, method, kept).map_err(|e| self.io_error(&e, path))?;
        }
        // What was kept is named by logical paths; below a moved store the tree is walked at its real place.
        let moved: Option<Kept> = match (kept, real.as_os_str().as_bytes() == path) {
            (Some(kept), false) => Some(kept.iter().map(|p| [real.as_os_str().as_bytes(), &p[path.len()..]].concat()).collect()),
            _ => None,
        };
        let hash = self.hash_source(&real, method, moved.as_ref().or(kept)).map_err(|e| self.io_error(&e, path))?;
        if let Some(expected) = expected {
            if hash.bytes() != expected {
                let message = format!(
                    "hash mismatch for '{}': specified {}, got {}",
                    shown(path),
                    Hash::sha256(*expected).format(Format::Sri),
                    hash.format(Format::Sri)
                );
                return Err(WorldError::new(Code::HashMismatch, message));
            }
        }
        let made = path_of(&hash)?;
        self.recording.wrote(&made, &[]);
        self.allow(&made);
        let from = real.into_os_string().into_vec();
        let kept = moved.or_else(|| kept.cloned());
        self.gather(&made, 0, Pending::Source { from, name: name.to_vec(), method, kept })?;
        Ok(made)
    }

    fn add_text(&mut self, store_path: &[u8], text: &[u8], references: &[&[u8]]) -> WorldResult<()> {
        self.recording.wrote(store_path, references);
        self.allow(store_path);
        let references = references.iter().map(|r| r.to_vec()).collect();
        self.gather(store_path, text.len(), Pending::Text { text: text.to_vec(), references })
    }

    fn add_derivation(&mut self, store_path: &[u8], aterm: &[u8], references: &[&[u8]]) -> WorldResult<()> {
        self.add_text(store_path, aterm, references)
    }

    fn read_derivation(&mut self, store_path: &[u8]) -> WorldResult<Vec<u8>> {
        if let Some((text, _)) = self.pending_text(store_path) {
            return Ok(text.to_vec());
        }
        let (real, _) = self.locate(store_path)?;
        fs::read(&real).map_err(|_| WorldError::new(Code::InvalidStorePath, format!("path '{}' is not valid", shown(store_path))))
    }

    fn references(&mut self, store_path: &[u8]) -> WorldResult<Vec<Vec<u8>>> {
        if let Some((_, references)) = self.pending_text(store_path) {
            return Ok(references.to_vec());
        }
        if self.pending_index.contains_key(store_path) {
            return Ok(Vec::new());
        }
        self.recording.store_path(store_path);
        self.ask(|py, host| host.call_method1("references", (decode(py, store_path)?,))?.try_iter()?.map(|p| encode(&p?)).collect())
    }

    fn closure(&mut self, store_path: &[u8]) -> WorldResult<Vec<Vec<u8>>> {
        self.flush()?;
        self.recording.store_path(store_path);
        self.ask(|py, host| host.call_method1("closure", (decode(py, store_path)?,))?.try_iter()?.map(|p| encode(&p?)).collect())
    }

    fn ensure_path(&mut self, store_path: &[u8]) -> WorldResult<()> {
        if self.pending_index.contains_key(store_path) {
            return Ok(());
        }
        self.recording.store_path(store_path);
        self.ask(|py, host| host.call_method1("ensure_path", (decode(py, store_path)?,)).map(drop))
    }

    fn realise(&mut self, wanted: &[(&[u8], &[u8])]) -> WorldResult<()> {
        self.flush()?;
        let built: Vec<Vec<u8>> = self.ask(|py, host| {
            let list = PyList::empty(py);
            for (drv, output) in wanted {
                list.append((decode(py, drv)?, decode(py, output)?))?;
            }
            host.call_method1("realise", (list,))?.try_iter()?.map(|p| encode(&p?)).collect()
        })?;
        for path in built {
            self.recording.store_path(&path);
            self.allow(&path);
        }
        Ok(())
    }

    fn fetch(&mut self, request: &FetchRequest) -> WorldResult<Fetched> {
        if let Some((_, url)) = request.args.iter().find(|(key, _)| *key == "url") {
            self.check_uri(url)?;
        }
        self.flush()?;
        let given = |wanted: &str| request.args.iter().any(|(key, text)| *key == wanted && !text.is_empty());
        // What git says beside the content (the time, the count of commits) follows from the revision alone.
        let pinned = if request.kind == "fetchGit" { given("rev") } else { given("sha256") || given("narHash") };
        if !pinned {
            self.recording.impure("a fetch without a hash");
        }
        let fetched = self.ask(|py, host| {
            let args = PyDict::new(py);
            for (key, text) in request.args {
                args.set_item(*key, decode(py, text)?)?;
            }
            let (path, attrs): (Bound<'_, PyAny>, Bound<'_, PyDict>) = host.call_method1("fetch", (request.kind, args))?.extract()?;
            let mut out = Vec::new();
            for (name, attr) in attrs {
                let attr = if let Ok(b) = attr.cast::<PyBool>() {
                    FetchedAttr::Bool(b.is_true())
                } else if attr.is_instance_of::<PyInt>() {
                    FetchedAttr::Int(attr.extract()?)
                } else {
                    FetchedAttr::Text(encode(&attr)?)
                };
                out.push((name.extract()?, attr));
            }
            Ok(Fetched { store_path: encode(&path)?, attrs: out })
        })?;
        self.recording.store_path(&fetched.store_path);
        self.allow(&fetched.store_path);
        Ok(fetched)
    }

    fn flush(&mut self) -> WorldResult<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let pending = std::mem::take(&mut self.pending);
        self.pending_index.clear();
        self.pending_bytes = 0;
        self.ask(|py, host| {
            let (texts, sources) = (PyList::empty(py), PyList::empty(py));
            for (store_path, what) in &pending {
                let store_path = decode(py, store_path)?;
                match what {
                    Pending::Text { text, references } => {
                        let references = references.iter().map(|r| decode(py, r)).collect::<PyResult<Vec<_>>>()?;
                        texts.append((store_path, PyBytes::new(py, text), references))?;
                    }
                    Pending::Source { from, name, method, kept } => {
                        let method = if *method == AddMethod::Nar { "nar" } else { "flat" };
                        let kept = match kept {
                            None => py.None().into_bound(py),
                            Some(kept) => PyList::new(py, kept.iter().map(|p| decode(py, p)).collect::<PyResult<Vec<_>>>()?)?.into_any(),
                        };
                        sources.append((store_path, decode(py, from)?, decode(py, name)?, method, kept))?;
                    }
                }
            }
            host.call_method1("write", (texts, sources)).map(drop)
        })
    }

    fn trace(&mut self, message: &[u8]) -> WorldResult<()> {
        self.recording.message("trace", message);
        self.ask(|py, host| host.call_method1("trace", (PyBytes::new(py, message),)).map(drop))
    }

    fn warn(&mut self, message: &[u8]) -> WorldResult<()> {
        self.recording.message("warn", message);
        self.ask(|py, host| host.call_method1("warn", (PyBytes::new(py, message),)).map(drop))
    }

    fn breakpoint(&mut self) -> WorldResult<()> {
        self.ask(|_, host| host.call_method0("breakpoint").map(drop))
    }
}
