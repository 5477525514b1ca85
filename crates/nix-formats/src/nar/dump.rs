//! Making a NAR of files, and a copy of them on the way.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::restore::{create_file, finish_directory, finish_file, make_directory, make_symlink};
use super::writer::push_word;
use super::{file_error, padding, Behind, Error, NarWriter, RestoreOptions, MAGIC};
use crate::hash::{Hash, HashType, Hasher};

/// The type of a file, in the words of the language (`builtins.readDir`, filters).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileType {
    Regular,
    Directory,
    Symlink,
    /// A device, a socket or a pipe: a filter may see it, a NAR cannot hold it.
    Unknown,
}

impl FileType {
    pub const fn name(self) -> &'static str {
        match self {
            FileType::Regular => "regular",
            FileType::Directory => "directory",
            FileType::Symlink => "symlink",
            FileType::Unknown => "unknown",
        }
    }
}

impl From<fs::FileType> for FileType {
    fn from(kind: fs::FileType) -> FileType {
        if kind.is_file() {
            FileType::Regular
        } else if kind.is_dir() {
            FileType::Directory
        } else if kind.is_symlink() {
            FileType::Symlink
        } else {
            FileType::Unknown
        }
    }
}

/// A filter: whether the file at a path, of a type, belongs into the NAR.
type Filter<'f, E> = &'f mut dyn FnMut(&Path, FileType) -> Result<bool, E>;

/// Writes the NAR of the file or tree at `path`.
///
/// `filter` is asked for everything below `path`, not for `path` itself, in the order of the archive; what it refuses is not
/// looked at. A last component of `path` that is a symlink is archived as a symlink.
pub fn dump_path<W: Write, E: From<Error>>(path: &Path, out: W, filter: Filter<'_, E>) -> Result<W, E> {
    dump_root(path, None, NarWriter::new(out), filter)
}

/// As [`dump_path`], to a file, which `behind` gives: the kernel copies the contents of large files to it.
pub fn dump_to_file<W: Write, E: From<Error>>(path: &Path, out: W, behind: Behind<W>, filter: Filter<'_, E>) -> Result<W, E> {
    dump_root(path, None, NarWriter::to_file(out, behind), filter)
}

/// As [`dump_path`], and makes the same of it at `target`, which must not exist, as [`super::restore`] would of the NAR: what is
/// written there are the very bytes that went into the NAR.
pub fn copy_path<W: Write, E: From<Error>>(path: &Path, target: &Path, options: RestoreOptions, out: W, filter: Filter<'_, E>) -> Result<W, E> {
    dump_root(path, Some(Copy { target: target.to_owned(), options }), NarWriter::new(out), filter)
}

/// Where a copy is made of what is dumped at the moment.
struct Copy {
    target: PathBuf,
    options: RestoreOptions,
}

fn dump_root<W: Write, E: From<Error>>(path: &Path, mut copy: Option<Copy>, mut writer: NarWriter<W>, filter: Filter<'_, E>) -> Result<W, E> {
    let kind = fs::symlink_metadata(path).map_err(file_error("reading status of", path))?.file_type();
    dump_node(&mut path.to_owned(), kind.into(), copy.as_mut(), &mut writer, filter)?;
    Ok(writer.finish()?)
}

fn dump_node<W: Write, E: From<Error>>(
    path: &mut PathBuf,
    kind: FileType,
    mut copy: Option<&mut Copy>,
    writer: &mut NarWriter<W>,
    filter: Filter<'_, E>,
) -> Result<(), E> {
    match kind {
        FileType::Regular => Ok(dump_regular(path, copy, writer)?),
        FileType::Symlink => {
            let link = fs::read_link(&path).map_err(file_error("reading symlink", path))?;
            writer.symlink(link.as_os_str().as_bytes())?;
            Ok(copy.map_or(Ok(()), |copy| make_symlink(&copy.target, link.as_os_str(), copy.options))?)
        }
        FileType::Unknown => Err(Error::UnsupportedFile(path.clone()).into()),
        FileType::Directory => {
            // The depth is bounded by the writer, which refuses to begin one directory too many.
            writer.begin_directory()?;
            if let Some(copy) = &copy {
                make_directory(&copy.target)?;
            }
            let mut entries = read_directory(path)?;
            entries.sort_unstable();
            for (name, kind) in entries {
                let name = std::ffi::OsStr::from_bytes(&name);
                path.push(name);
                if filter(path, kind.0)? {
                    writer.entry(name.as_bytes())?;
                    if let Some(copy) = &mut copy {
                        copy.target.push(name);
                    }
                    dump_node(path, kind.0, copy.as_deref_mut(), writer, filter)?;
                    if let Some(copy) = &mut copy {
                        copy.target.pop();
                    }
                }
                path.pop();
            }
            writer.end_directory()?;
            Ok(copy.map_or(Ok(()), |copy| finish_directory(&copy.target, copy.options))?)
        }
    }
}

/// Lets entries be sorted by name, which is unique.
struct Kind(FileType);

impl PartialEq for Kind {
    fn eq(&self, _: &Kind) -> bool {
        true
    }
}
impl Eq for Kind {}
impl PartialOrd for Kind {
    fn partial_cmp(&self, other: &Kind) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Kind {
    fn cmp(&self, _: &Kind) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

fn read_directory(path: &Path) -> Result<Vec<(Vec<u8>, Kind)>, Error> {
    let error = file_error("reading directory", path);
    fs::read_dir(path)
        .map_err(error)?
        .map(|entry| {
            let entry = entry.map_err(error)?;
            let kind = entry.file_type().map_err(error)?;
            Ok((entry.file_name().into_vec(), Kind(kind.into())))
        })
        .collect()
}

fn dump_regular<W: Write>(path: &Path, copy: Option<&mut Copy>, writer: &mut NarWriter<W>) -> Result<(), Error> {
    let mut file = File::open(path).map_err(file_error("opening", path))?;
    let status = file.metadata().map_err(file_error("reading status of", path))?;
    if !status.is_file() {
        return Err(Error::FileChanged(path.to_owned()));
    }
    let executable = status.permissions().mode() & 0o100 != 0;
    let reading_failed = |error| match error {
        Error::Read(e) if e.kind() == io::ErrorKind::UnexpectedEof => Error::FileChanged(path.to_owned()),
        Error::Read(e) => file_error("reading", path)(e),
        other => other,
    };
    let Some(copy) = copy else {
        return writer.regular_file(executable, status.len(), &mut file).map_err(reading_failed);
    };
    let to = create_file(&copy.target, executable, copy.options)?;
    let mut contents = Copied { from: file, to, failed: None };
    let written = writer.regular(executable, status.len(), &mut contents);
    if let Some(error) = contents.failed {
        return Err(file_error("writing", &copy.target)(error));
    }
    written.map_err(reading_failed)?;
    finish_file(&contents.to, &copy.target, executable, copy.options)
}

/// Reads a file and writes what it reads to another.
struct Copied {
    from: File,
    to: File,
    /// Why writing failed; then reading fails too.
    failed: Option<io::Error>,
}

impl Read for Copied {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.from.read(buffer)?;
        self.to.write_all(&buffer[..len]).map_err(|error| {
            self.failed = Some(error);
            io::Error::other("the copy cannot be written")
        })?;
        Ok(len)
    }
}

/// The hash and the size of the NAR of `path`, everything included. A small file costs one buffer and one call of the hash.
pub fn hash_path(path: &Path, algo: HashType) -> Result<(Hash, u64), Error> {
    let hasher = dump_path::<_, Error>(path, Hasher::new(algo), &mut |_, _| Ok(true))?;
    let len = hasher.len();
    Ok((hasher.finish(), len))
}

/// The hash and the size of the NAR of a regular file whose contents are at hand, without copying them.
pub fn hash_regular(contents: &[u8], executable: bool, algo: HashType) -> (Hash, u64) {
    let mut head = Vec::with_capacity(128);
    let marker: &[&[u8]] = if executable { &[b"executable", b""] } else { &[] };
    for word in [MAGIC, b"(", b"type", b"regular"].iter().chain(marker).chain(&[b"contents".as_slice()]) {
        push_word(&mut head, word);
    }
    head.extend_from_slice(&(contents.len() as u64).to_le_bytes());
    let mut hasher = Hasher::new(algo);
    hasher.update(&head);
    hasher.update(contents);
    head.clear();
    head.resize(padding(contents.len() as u64), 0);
    push_word(&mut head, b")");
    hasher.update(&head);
    let len = hasher.len();
    (hasher.finish(), len)
}
