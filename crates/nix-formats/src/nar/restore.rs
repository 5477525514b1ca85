//! Making files of a NAR.
//!
//! Every file is created anew, and fails where something stands already. Since names are checked and come in strict order, no
//! entry can be below a symlink that the same archive made, so nothing is ever written outside of the target.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, FileTimes, OpenOptions, Permissions};
use std::io::{self, BufRead, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{symlink, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{parse, parse_prefix, Error, Visitor, CHUNK};

/// What [`restore`] does beside making the files.
#[derive(Debug, Clone, Copy, Default)]
pub struct RestoreOptions {
    /// Gives directories the mode 555 too.
    pub read_only_directories: bool,
    /// Sets the time of modification of files and directories to one second after the epoch, as in a store. The times of
    /// symlinks are left: the standard library cannot set them.
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

    fn canonical_time(&self) -> Option<FileTimes> {
        let second = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
        self.options.canonical_times.then(|| FileTimes::new().set_modified(second).set_accessed(second))
    }

    fn write_file(&mut self, path: &Path, executable: bool, contents: &mut dyn Read) -> Result<(), Error> {
        let failed = |action| move |source| Error::File { action, path: path.to_owned(), source };
        let mode = match (executable, self.options.writable) {
            (false, false) => 0o444,
            (true, false) => 0o555,
            (false, true) => 0o666,
            (true, true) => 0o777,
        };
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(failed("creating"))?;
        loop {
            match contents.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(len) => file.write_all(&self.buffer[..len]).map_err(failed("writing"))?,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Error::Read(e)),
            }
        }
        if !self.options.writable {
            file.set_permissions(Permissions::from_mode(mode)).map_err(failed("setting mode of"))?;
        }
        if let Some(times) = self.canonical_time() {
            file.set_times(times).map_err(failed("setting times of"))?;
        }
        Ok(())
    }
}

impl Visitor for Restorer<'_> {
    type Error = Error;

    fn directory(&mut self, path: &[u8]) -> Result<(), Error> {
        let path = self.path(path);
        DirBuilder::new().create(&path).map_err(|source| Error::File { action: "creating directory", path, source })
    }

    fn end_directory(&mut self, path: &[u8]) -> Result<(), Error> {
        let path = self.path(path);
        let failed = |action| {
            let path = path.clone();
            move |source| Error::File { action, path, source }
        };
        if let Some(times) = self.canonical_time() {
            File::open(&path).and_then(|dir| dir.set_times(times)).map_err(failed("setting times of"))?;
        }
        if self.options.read_only_directories {
            fs::set_permissions(&path, Permissions::from_mode(0o555)).map_err(failed("setting mode of"))?;
        }
        Ok(())
    }

    fn regular(&mut self, path: &[u8], executable: bool, _: u64, contents: &mut dyn Read) -> Result<(), Error> {
        let path = self.path(path);
        self.write_file(&path, executable, contents)
    }

    fn symlink(&mut self, path: &[u8], target: &[u8]) -> Result<(), Error> {
        let path = self.path(path);
        symlink(OsStr::from_bytes(target), &path).map_err(|source| Error::File { action: "creating symlink", path, source })
    }
}
