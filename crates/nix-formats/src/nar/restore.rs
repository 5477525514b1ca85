//! Making files of a NAR.
//!
//! Every file is created anew, and fails where something stands already. Since names are checked and come in strict order, no
//! entry can be below a symlink that the same archive made, so nothing is ever written outside of the target.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{symlink, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{futimens, utimensat, AtFlags, Timespec, Timestamps, CWD};

use super::parse::parse_whole;
use super::{file_error, parse, parse_prefix, Behind, Contents, Error, Visitor, CHUNK};

/// What [`restore`] does beside making the files.
#[derive(Debug, Clone, Copy, Default)]
pub struct RestoreOptions {
    /// Gives directories the mode 555 too.
    pub read_only_directories: bool,
    /// Sets the times of everything to one second after the epoch, as in a store.
    pub canonical_times: bool,
    /// Gives files the modes 644 and 755 as far as the umask allows, for trees that are a user's own.
    pub writable: bool,
}

/// Makes the file or tree of the NAR in `reader` at `target`, which must not exist; gives the size of the NAR.
///
/// Files have the mode 444 or 555 whatever the umask, if they are not to be writable. What was made before an error is left for the caller to remove.
pub fn restore<R: Read>(reader: R, target: &Path, options: RestoreOptions) -> Result<u64, Error> {
    let mut restorer = Restorer { target, options, buffer: vec![0; CHUNK] };
    parse(reader, &mut restorer)
}

/// As [`restore`], from a file, which `behind` gives: the kernel copies the contents of large files.
pub fn restore_from_file<R: Read>(reader: R, behind: Behind<BufReader<R>>, target: &Path, options: RestoreOptions) -> Result<u64, Error> {
    let mut restorer = Restorer { target, options, buffer: vec![0; CHUNK] };
    parse_whole(reader, &mut restorer, behind)
}

/// As [`restore`], but leaves what follows the NAR in `reader`.
pub fn restore_prefix<R: BufRead>(reader: &mut R, target: &Path, options: RestoreOptions) -> Result<u64, Error> {
    let mut restorer = Restorer { target, options, buffer: vec![0; CHUNK] };
    parse_prefix(reader, &mut restorer)
}

struct Restorer<'t> {
    target: &'t Path,
    options: RestoreOptions,
    buffer: Vec<u8>,
}

impl Restorer<'_> {
    fn path(&self, path: &[u8]) -> PathBuf {
        if path.is_empty() {
            // Joining an empty path would leave a slash at the end.
            return self.target.to_owned();
        }
        self.target.join(OsStr::from_bytes(path))
    }
}

impl Visitor for Restorer<'_> {
    type Error = Error;

    fn directory(&mut self, path: &[u8]) -> Result<(), Error> {
        make_directory(&self.path(path))
    }

    fn end_directory(&mut self, path: &[u8]) -> Result<(), Error> {
        finish_directory(&self.path(path), self.options)
    }

    fn regular(&mut self, path: &[u8], executable: bool, _: u64, contents: &mut dyn Contents) -> Result<(), Error> {
        let path = self.path(path);
        let mut file = create_file(&path, executable, self.options)?;
        loop {
            if contents.send(&file).map_err(file_error("writing", &path))? > 0 {
                continue;
            }
            match contents.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(len) => file.write_all(&self.buffer[..len]).map_err(file_error("writing", &path))?,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::Read(e)),
            }
        }
        finish_file(&file, &path, executable, self.options)
    }

    fn symlink(&mut self, path: &[u8], target: &[u8]) -> Result<(), Error> {
        make_symlink(&self.path(path), OsStr::from_bytes(target), self.options)
    }
}

fn canonical_times() -> Timestamps {
    let second = Timespec { tv_sec: 1, tv_nsec: 0 };
    Timestamps { last_access: second, last_modification: second }
}

const fn mode_of(executable: bool, options: RestoreOptions) -> u32 {
    match (executable, options.writable) {
        (false, false) => 0o444,
        (true, false) => 0o555,
        (false, true) => 0o666,
        (true, true) => 0o777,
    }
}

pub(super) fn create_file(path: &Path, executable: bool, options: RestoreOptions) -> Result<File, Error> {
    let mode = mode_of(executable, options);
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(file_error("creating", path))
}

/// Gives a file that is complete its mode and its times.
pub(super) fn finish_file(file: &File, path: &Path, executable: bool, options: RestoreOptions) -> Result<(), Error> {
    if !options.writable {
        // Whatever the umask took away.
        file.set_permissions(Permissions::from_mode(mode_of(executable, options))).map_err(file_error("setting mode of", path))?;
    }
    if options.canonical_times {
        futimens(file, &canonical_times()).map_err(|error| file_error("setting times of", path)(error.into()))?;
    }
    Ok(())
}

pub(super) fn make_directory(path: &Path) -> Result<(), Error> {
    DirBuilder::new().create(path).map_err(file_error("creating directory", path))
}

/// Gives a directory that is complete its mode and its times.
pub(super) fn finish_directory(path: &Path, options: RestoreOptions) -> Result<(), Error> {
    set_times(path, options)?;
    if options.read_only_directories {
        fs::set_permissions(path, Permissions::from_mode(0o555)).map_err(file_error("setting mode of", path))?;
    }
    Ok(())
}

pub(super) fn make_symlink(path: &Path, target: &OsStr, options: RestoreOptions) -> Result<(), Error> {
    symlink(target, path).map_err(file_error("creating symlink", path))?;
    set_times(path, options)
}

fn set_times(path: &Path, options: RestoreOptions) -> Result<(), Error> {
    if options.canonical_times {
        let set = utimensat(CWD, path, &canonical_times(), AtFlags::SYMLINK_NOFOLLOW);
        set.map_err(|error| file_error("setting times of", path)(error.into()))?;
    }
    Ok(())
}
