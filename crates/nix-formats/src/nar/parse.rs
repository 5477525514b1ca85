//! Reading a NAR that may come from an enemy.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

use super::{
    check_entry_name, check_order, check_target, lossy, padding, send, Behind, Error, Malformed, CHUNK, MAGIC, MAX_DEPTH, MAX_NAME_LEN,
    MAX_TARGET_LEN,
};

/// The longest keyword, `executable`, with a little room so that a message can show what stands there instead.
const MAX_WORD_LEN: usize = 32;

/// Takes what [`parse`] finds, in the order of the archive.
///
/// `path` is relative to the root, its components checked and joined by `/`; it is empty for the root itself.
pub trait Visitor {
    type Error: From<Error>;

    fn directory(&mut self, path: &[u8]) -> Result<(), Self::Error>;

    /// Everything below the directory has been visited.
    fn end_directory(&mut self, path: &[u8]) -> Result<(), Self::Error>;

    /// A file of `size` bytes. What is left unread of `contents` is skipped. An error that `contents` gives must be
    /// returned through [`Error::Read`], so that a truncated archive is told from a bad disk.
    fn regular(&mut self, path: &[u8], executable: bool, size: u64, contents: &mut dyn Contents) -> Result<(), Self::Error>;

    fn symlink(&mut self, path: &[u8], target: &[u8]) -> Result<(), Self::Error>;
}

/// The contents of one file.
pub trait Contents: Read {
    /// Has the kernel copy what comes next to a file; gives how many bytes, 0 if it is to be read instead.
    fn send(&mut self, to: &File) -> io::Result<u64>;
}

/// Reads exactly one NAR from `reader`, which must end with it; gives its size.
pub fn parse<R: Read, V: Visitor>(reader: R, visitor: &mut V) -> Result<u64, V::Error> {
    parse_whole(reader, visitor, |_| Ok(None))
}

/// As [`parse`]; `behind` gives the file that is read.
pub(super) fn parse_whole<R: Read, V: Visitor>(reader: R, visitor: &mut V, behind: Behind<BufReader<R>>) -> Result<u64, V::Error> {
    let mut reader = BufReader::with_capacity(CHUNK, reader);
    let size = parse_node(&mut reader, visitor, behind)?;
    if !reader.fill_buf().map_err(Error::Read)?.is_empty() {
        return Err(Error::Trailing { offset: size }.into());
    }
    Ok(size)
}

/// Reads one NAR from `reader` and leaves what follows it; gives its size.
pub fn parse_prefix<R: BufRead, V: Visitor>(reader: &mut R, visitor: &mut V) -> Result<u64, V::Error> {
    parse_node(reader, visitor, |_| Ok(None))
}

fn parse_node<R: BufRead, V: Visitor>(reader: &mut R, visitor: &mut V, behind: Behind<R>) -> Result<u64, V::Error> {
    let mut words = Words { reader, behind, offset: 0, word: Vec::new() };
    match words.read(MAGIC.len()) {
        Ok(()) if words.word == MAGIC => {}
        Ok(()) | Err(Error::Malformed { .. }) => return Err(Error::Malformed { offset: 0, reason: Malformed::Magic }.into()),
        Err(error) => return Err(error.into()),
    }
    let mut path = Vec::new();
    let mut open: Vec<Directory> = Vec::new();
    loop {
        words.expect("(")?;
        words.expect("type")?;
        words.read(MAX_WORD_LEN)?;
        // A directory's node is complete only after its entries; other nodes are so at once.
        let mut complete = true;
        match words.word.as_slice() {
            b"regular" => {
                parse_regular(&mut words, &path, visitor)?;
                words.expect(")")?;
            }
            b"symlink" => {
                words.expect("target")?;
                words.read(MAX_TARGET_LEN)?;
                check_target(&words.word).map_err(|reason| words.malformed(reason))?;
                visitor.symlink(&path, &words.word)?;
                words.expect(")")?;
            }
            b"directory" => {
                if open.len() >= MAX_DEPTH {
                    return Err(words.malformed(Malformed::Depth).into());
                }
                visitor.directory(&path)?;
                open.push(Directory { path_len: path.len(), last: None });
                complete = false;
            }
            other => {
                let reason = Malformed::Type(lossy(other));
                return Err(words.malformed(reason).into());
            }
        }
        // Close what is complete, up to the next entry or the end.
        loop {
            let Some(directory) = open.last_mut() else { return Ok(words.offset) };
            path.truncate(directory.path_len);
            if complete {
                words.expect(")")?;
            }
            words.read(MAX_WORD_LEN)?;
            match words.word.as_slice() {
                b")" => {
                    visitor.end_directory(&path)?;
                    open.pop();
                    complete = true;
                }
                b"entry" => {
                    words.expect("(")?;
                    words.expect("name")?;
                    words.read(MAX_NAME_LEN)?;
                    check_entry_name(&words.word)
                        .and_then(|()| check_order(directory.last.as_deref(), &words.word))
                        .map_err(|reason| words.malformed(reason))?;
                    let last = directory.last.get_or_insert_default();
                    last.clear();
                    last.extend_from_slice(&words.word);
                    if !path.is_empty() {
                        path.push(b'/');
                    }
                    path.extend_from_slice(&words.word);
                    words.expect("node")?;
                    break;
                }
                _ => return Err(words.malformed(Malformed::Expected("entry")).into()),
            }
        }
    }
}

struct Directory {
    path_len: usize,
    last: Option<Vec<u8>>,
}

fn parse_regular<R: BufRead, V: Visitor>(words: &mut Words<'_, R>, path: &[u8], visitor: &mut V) -> Result<(), V::Error> {
    words.read(MAX_WORD_LEN)?;
    let executable = words.word == b"executable";
    if executable {
        words.read(0)?;
        words.read(MAX_WORD_LEN)?;
    }
    if words.word != b"contents" {
        return Err(words.malformed(Malformed::Expected("contents")).into());
    }
    let size = words.number()?;
    let mut contents = FileContents { reader: words.reader, behind: words.behind, left: size, truncated: false };
    let visited = visitor.regular(path, executable, size, &mut contents);
    if visited.is_ok() && !contents.truncated {
        contents.skip_rest().map_err(Error::Read)?;
    }
    let (left, truncated) = (contents.left, contents.truncated);
    words.offset = words.offset.saturating_add(size - left);
    if truncated {
        return Err(Error::Truncated { offset: words.offset }.into());
    }
    visited?;
    Ok(words.padding(size)?)
}

struct FileContents<'r, R> {
    reader: &'r mut R,
    behind: Behind<R>,
    left: u64,
    truncated: bool,
}

impl<R: BufRead> FileContents<'_, R> {
    fn skip_rest(&mut self) -> io::Result<()> {
        while self.left > 0 {
            let have = match self.reader.fill_buf() {
                Ok(buffer) => buffer.len(),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(e),
            };
            if have == 0 {
                self.truncated = true;
                return Ok(());
            }
            let step = self.left.min(have as u64);
            self.reader.consume(step as usize);
            self.left -= step;
        }
        Ok(())
    }
}

impl<R: BufRead> Contents for FileContents<'_, R> {
    fn send(&mut self, to: &File) -> io::Result<u64> {
        let Some(from) = (self.behind)(self.reader)? else { return Ok(0) };
        let sent = send(from, to, self.left)?;
        self.left -= sent;
        Ok(sent)
    }
}

impl<R: BufRead> Read for FileContents<'_, R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let want = self.left.min(out.len() as u64) as usize;
        if want == 0 {
            return Ok(0);
        }
        let got = self.reader.read(&mut out[..want])?;
        if got == 0 {
            self.truncated = true;
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= got as u64;
        Ok(got)
    }
}

/// The words of an archive, one at a time in a buffer that is used again.
struct Words<'r, R> {
    reader: &'r mut R,
    behind: Behind<R>,
    offset: u64,
    word: Vec<u8>,
}

impl<R: BufRead> Words<'_, R> {
    fn malformed(&self, reason: Malformed) -> Error {
        Error::Malformed { offset: self.offset, reason }
    }

    fn fill(&mut self, out: &mut [u8]) -> Result<(), Error> {
        self.reader.read_exact(out).map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => Error::Truncated { offset: self.offset },
            _ => Error::Read(e),
        })?;
        self.offset += out.len() as u64;
        Ok(())
    }

    fn number(&mut self) -> Result<u64, Error> {
        let mut bytes = [0; 8];
        self.fill(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn padding(&mut self, len: u64) -> Result<(), Error> {
        let mut bytes = [0; 8];
        let zeros = &mut bytes[..padding(len)];
        self.fill(zeros)?;
        if zeros.iter().any(|&b| b != 0) {
            return Err(self.malformed(Malformed::Padding));
        }
        Ok(())
    }

    /// Reads a word of at most `max` bytes, a limit that is small: the length is not trusted before it is checked.
    fn read(&mut self, max: usize) -> Result<(), Error> {
        let len = self.number()?;
        if len > max as u64 {
            return Err(self.malformed(Malformed::Length { len, max }));
        }
        let mut word = std::mem::take(&mut self.word);
        word.clear();
        word.resize(len as usize, 0);
        let result = self.fill(&mut word);
        self.word = word;
        result?;
        self.padding(len)
    }

    fn expect(&mut self, word: &'static str) -> Result<(), Error> {
        self.read(MAX_WORD_LEN)?;
        if self.word != word.as_bytes() {
            return Err(self.malformed(Malformed::Expected(word)));
        }
        Ok(())
    }
}
