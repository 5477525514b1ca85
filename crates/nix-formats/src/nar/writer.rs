//! Writing a NAR piece by piece.

use std::fs::File;
use std::io::{Read, Write};

use super::{check_entry_name, check_order, check_target, padding, send, Behind, Error, Malformed, CHUNK, MAGIC, MAX_DEPTH};

/// Writes a NAR to `W`, which may be a file or a hasher; small pieces are gathered first.
///
/// A node is one call of [`regular`](Self::regular), [`regular_bytes`](Self::regular_bytes) or [`symlink`](Self::symlink), or
/// [`begin_directory`](Self::begin_directory), then for each entry [`entry`](Self::entry) and a node, then
/// [`end_directory`](Self::end_directory). One node, then [`finish`](Self::finish). Calls out of turn, and names that a reader
/// would refuse, are errors.
pub struct NarWriter<W: Write> {
    out: W,
    buffer: Vec<u8>,
    /// What large files are read into; empty until there is one.
    chunk: Vec<u8>,
    /// The last name written in each open directory.
    open: Vec<Option<Vec<u8>>>,
    state: State,
    behind: Option<Behind<W>>,
}

#[derive(PartialEq, Eq)]
enum State {
    Node,
    Entries,
    Done,
}

impl<W: Write> NarWriter<W> {
    pub fn new(out: W) -> NarWriter<W> {
        let mut writer = NarWriter { out, buffer: Vec::new(), chunk: Vec::new(), open: Vec::new(), state: State::Node, behind: None };
        writer.word(MAGIC);
        writer
    }

    /// A writer to a file: `behind` gives it.
    pub(super) fn to_file(out: W, behind: Behind<W>) -> NarWriter<W> {
        NarWriter { behind: Some(behind), ..NarWriter::new(out) }
    }

    fn word(&mut self, word: &[u8]) {
        push_word(&mut self.buffer, word);
    }

    fn flush_if_full(&mut self) -> Result<(), Error> {
        if self.buffer.len() < CHUNK {
            return Ok(());
        }
        self.flush_buffer()
    }

    fn flush_buffer(&mut self) -> Result<(), Error> {
        self.out.write_all(&self.buffer).map_err(Error::Write)?;
        self.buffer.clear();
        Ok(())
    }

    fn begin_node(&mut self, kind: &[u8]) -> Result<(), Error> {
        if self.state != State::Node {
            return Err(Error::OutOfTurn("no node is due"));
        }
        self.word(b"(");
        self.word(b"type");
        self.word(kind);
        Ok(())
    }

    fn end_node(&mut self) -> Result<(), Error> {
        self.word(b")");
        if self.open.is_empty() {
            self.state = State::Done;
        } else {
            self.word(b")");
            self.state = State::Entries;
        }
        self.flush_if_full()
    }

    fn begin_regular(&mut self, executable: bool, size: u64) -> Result<(), Error> {
        self.begin_node(b"regular")?;
        if executable {
            self.word(b"executable");
            self.word(b"");
        }
        self.word(b"contents");
        self.buffer.extend_from_slice(&size.to_le_bytes());
        Ok(())
    }

    fn end_regular(&mut self, size: u64) -> Result<(), Error> {
        self.buffer.extend_from_slice(&[0; 8][..padding(size)]);
        self.end_node()
    }

    /// A file whose `size` bytes come from `contents`; an error of the kind `UnexpectedEof` says that there were fewer.
    pub fn regular(&mut self, executable: bool, size: u64, contents: &mut dyn Read) -> Result<(), Error> {
        self.begin_regular(executable, size)?;
        let start = self.buffer.len();
        if size <= CHUNK.saturating_sub(start) as u64 {
            self.buffer.resize(start + size as usize, 0);
            contents.read_exact(&mut self.buffer[start..]).map_err(Error::Read)?;
            return self.end_regular(size);
        }
        self.flush_buffer()?;
        self.pass_on(size, contents)?;
        self.end_regular(size)
    }

    /// As [`regular`](Self::regular); the kernel copies what goes from file to file.
    pub fn regular_file(&mut self, executable: bool, size: u64, file: &mut File) -> Result<(), Error> {
        let Some(behind) = self.behind.filter(|_| size > CHUNK as u64) else {
            return self.regular(executable, size, file);
        };
        self.begin_regular(executable, size)?;
        self.flush_buffer()?;
        let mut left = size;
        while let Some(to) = behind(&mut self.out).map_err(Error::Write)? {
            match send(file, to, left).map_err(Error::Write)? {
                0 => break,
                n => left -= n,
            }
        }
        self.pass_on(left, file)?;
        self.end_regular(size)
    }

    fn pass_on(&mut self, mut left: u64, contents: &mut dyn Read) -> Result<(), Error> {
        self.chunk.resize(CHUNK, 0);
        while left > 0 {
            let part = &mut self.chunk[..left.min(CHUNK as u64) as usize];
            contents.read_exact(part).map_err(Error::Read)?;
            self.out.write_all(part).map_err(Error::Write)?;
            left -= part.len() as u64;
        }
        Ok(())
    }

    /// A file whose contents are at hand.
    pub fn regular_bytes(&mut self, executable: bool, contents: &[u8]) -> Result<(), Error> {
        self.begin_regular(executable, contents.len() as u64)?;
        if contents.len() > CHUNK {
            self.flush_buffer()?;
            self.out.write_all(contents).map_err(Error::Write)?;
        } else {
            self.buffer.extend_from_slice(contents);
        }
        self.end_regular(contents.len() as u64)
    }

    pub fn symlink(&mut self, target: &[u8]) -> Result<(), Error> {
        check_target(target).map_err(Error::Refused)?;
        self.begin_node(b"symlink")?;
        self.word(b"target");
        self.word(target);
        self.end_node()
    }

    pub fn begin_directory(&mut self) -> Result<(), Error> {
        if self.open.len() >= MAX_DEPTH {
            return Err(Error::Refused(Malformed::Depth));
        }
        self.begin_node(b"directory")?;
        self.open.push(None);
        self.state = State::Entries;
        Ok(())
    }

    /// Names the next node of the open directory.
    pub fn entry(&mut self, name: &[u8]) -> Result<(), Error> {
        let last = match self.open.last_mut() {
            Some(last) if self.state == State::Entries => last,
            _ => return Err(Error::OutOfTurn("no entry is due")),
        };
        check_entry_name(name).map_err(Error::Refused)?;
        check_order(last.as_deref(), name).map_err(Error::Refused)?;
        let last = last.get_or_insert_default();
        last.clear();
        last.extend_from_slice(name);
        self.word(b"entry");
        self.word(b"(");
        self.word(b"name");
        self.word(name);
        self.word(b"node");
        self.state = State::Node;
        Ok(())
    }

    pub fn end_directory(&mut self) -> Result<(), Error> {
        if self.state != State::Entries || self.open.pop().is_none() {
            return Err(Error::OutOfTurn("no directory is open"));
        }
        self.end_node()
    }

    /// Writes out what is left and gives the writer below back.
    pub fn finish(mut self) -> Result<W, Error> {
        if self.state != State::Done {
            return Err(Error::OutOfTurn("the node is not complete"));
        }
        self.flush_buffer()?;
        self.out.flush().map_err(Error::Write)?;
        Ok(self.out)
    }
}

/// Appends the length, the bytes and the padding.
pub(super) fn push_word(out: &mut Vec<u8>, word: &[u8]) {
    out.extend_from_slice(&(word.len() as u64).to_le_bytes());
    out.extend_from_slice(word);
    out.extend_from_slice(&[0; 8][..padding(word.len() as u64)]);
}
