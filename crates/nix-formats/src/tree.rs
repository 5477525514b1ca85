//! Removing a tree of files, whatever it is like.
//!
//! Purpose: store objects are read-only, and what a builder leaves may be made so that no path reaches its innermost folder. Every
//! step is relative to an open folder, so no path is too long; and one folder is open at a time in each thread, so no depth is too deep.
//!
//! Invariants: no symlink is followed. Nothing outside of the tree is touched: the way back up leads by `..`, which must be the folder
//! that was come from. Whoever can rename in the tree meanwhile gets an error, and nothing else.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Mutex;
use std::thread;

use rustix::fs::{chmodat, fchmod, fstat, openat, statat, unlinkat, AtFlags, Dir, FileType, Mode, OFlags, Stat, CWD};
use rustix::io::Errno;

/// Why a tree is not removed, and how far that went.
#[derive(Debug)]
pub struct Failure {
    pub path: PathBuf,
    pub error: io::Error,
}

/// A folder on the way from the top to the one that is being emptied: its name in the folder above, and what has to be gone into.
struct Level {
    name: CString,
    identity: (u64, u64),
    folders: Vec<CString>,
}

/// With so many folders in the top one, a second thread removes some of them.
const SHARED: usize = 4;

/// Removes whatever is at `path`; nothing is fine. `check` is called now and then, and what it returns ends the work.
///
/// Gives the bytes of the files that had no other link, or a single one, which may be the one in a store's `.links`.
pub fn remove(path: &Path, mut check: impl FnMut() -> io::Result<()>) -> Result<u64, Failure> {
    let mut below = Vec::new();
    remove_by(path, &mut below, &mut check).map_err(|error| {
        let below = below.iter().map(|name| OsStr::from_bytes(name.to_bytes()));
        Failure { path: below.fold(path.to_owned(), |path, name| path.join(name)), error }
    })
}

/// `below` are the names that lead from `path` to where it failed.
fn remove_by(path: &Path, below: &mut Vec<CString>, check: &mut impl FnMut() -> io::Result<()>) -> io::Result<u64> {
    let status = match statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => return Ok(0),
        status => status?,
    };
    if !is_folder(&status) {
        unlinkat(CWD, path, AtFlags::empty())?;
        return Ok(size_of(&status));
    }
    let mut size = 0;
    let (folder, top) = enter(CWD, CString::new(path.as_os_str().as_bytes())?, &mut size)?;
    let is_shared = top.folders.len() >= SHARED && thread::available_parallelism().is_ok_and(|number| number.get() > 1);
    let names = Mutex::new(top.folders);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let work = || {
            let mut below = Vec::new();
            let mut go_on = || if is_over.load(Ordering::Relaxed) { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) };
            remove_all(&folder, &names, &mut below, &mut go_on).map_err(|error| (error, below))
        };
        let helper = is_shared.then(|| thread::Builder::new().spawn_scoped(scope, work).ok()).flatten();
        let ours = remove_all(&folder, &names, below, check);
        is_over.store(ours.is_err(), Ordering::Relaxed);
        let theirs = helper.map_or(Ok(0), |helper| helper.join().expect("removing does not panic"));
        size += ours?;
        size += theirs.map_err(|(error, place)| {
            *below = place;
            error
        })?;
        io::Result::Ok(())
    })?;
    unlinkat(CWD, path, AtFlags::REMOVEDIR)?;
    Ok(size)
}

/// Removes folders in `parent`, one after the other, until there is no name left.
fn remove_all(
    parent: &OwnedFd,
    names: &Mutex<Vec<CString>>,
    below: &mut Vec<CString>,
    check: &mut impl FnMut() -> io::Result<()>,
) -> io::Result<u64> {
    let mut size = 0;
    loop {
        let Some(name) = names.lock().expect("nobody panics with it").pop() else {
            return Ok(size);
        };
        let mut levels = Vec::new();
        size += remove_folder(parent, name, &mut levels, check).inspect_err(|_| {
            *below = levels.into_iter().map(|level| level.name).collect();
        })?;
    }
}

fn remove_folder(parent: &OwnedFd, name: CString, levels: &mut Vec<Level>, check: &mut impl FnMut() -> io::Result<()>) -> io::Result<u64> {
    let mut size = 0;
    let (mut folder, first) = enter(parent, name, &mut size)?;
    levels.push(first);
    while let Some(level) = levels.last_mut() {
        check()?;
        if let Some(name) = level.folders.pop() {
            let (inner, entered) = enter(&folder, name, &mut size)?;
            folder = inner;
            levels.push(entered);
            continue;
        }
        let Some((above, [.., left])) = levels.len().checked_sub(2).map(|above| levels.split_at(above + 1)) else {
            break;
        };
        let parent = openat(&folder, c"..", OPEN, Mode::empty())?;
        if above.last().map(|level| level.identity) != Some(identity_of(&fstat(&parent)?)) {
            return Err(io::Error::other("a folder was moved while it was being removed"));
        }
        unlinkat(&parent, &left.name, AtFlags::REMOVEDIR)?;
        folder = parent;
        levels.pop();
    }
    unlinkat(parent, &levels[0].name, AtFlags::REMOVEDIR)?;
    Ok(size)
}

const OPEN: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Opens a folder and removes all that is in it but folders.
fn enter(parent: impl std::os::fd::AsFd, name: CString, size: &mut u64) -> io::Result<(OwnedFd, Level)> {
    let folder = match openat(&parent, &name, OPEN, Mode::empty()) {
        Err(Errno::ACCESS) => {
            chmodat(&parent, &name, Mode::RWXU, AtFlags::empty())?;
            openat(&parent, &name, OPEN, Mode::empty())
        }
        opened => opened,
    }?;
    let status = fstat(&folder)?;
    if Mode::from_raw_mode(status.st_mode) & Mode::RWXU != Mode::RWXU {
        fchmod(&folder, Mode::RWXU)?;
    }
    let mut folders = Vec::new();
    // All names first: what a listing gives after something of it was removed is up to the file system.
    for (entry, kind) in list(&folder)? {
        if kind == FileType::Directory {
            folders.push(entry);
            continue;
        }
        let status = statat(&folder, &entry, AtFlags::SYMLINK_NOFOLLOW)?;
        if is_folder(&status) {
            // A file system that lists no types.
            folders.push(entry);
            continue;
        }
        unlinkat(&folder, &entry, AtFlags::empty())?;
        *size += size_of(&status);
    }
    Ok((folder, Level { name, identity: identity_of(&status), folders }))
}

fn list(folder: &OwnedFd) -> io::Result<Vec<(CString, FileType)>> {
    let mut found = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name: &CStr = entry.file_name();
        if name != c"." && name != c".." {
            found.push((name.to_owned(), entry.file_type()));
        }
    }
    Ok(found)
}

fn is_folder(status: &Stat) -> bool {
    FileType::from_raw_mode(status.st_mode) == FileType::Directory
}

#[allow(clippy::unnecessary_cast)] // their types are other ones elsewhere
fn identity_of(status: &Stat) -> (u64, u64) {
    (status.st_dev as u64, status.st_ino as u64)
}

#[allow(clippy::unnecessary_cast)]
fn size_of(status: &Stat) -> u64 {
    if status.st_nlink as u64 <= 2 {
        status.st_size as u64
    } else {
        0
    }
}
