//! Strings and paths: what stands between quotes, and the parts of a path around `${…}`.
//!
//! These are read byte by byte from the text, past the lexer, which is told where to go on. A string without antiquotation becomes a
//! constant; its bytes are copied once, straight from the text where no escape stands in it.

use super::*;
use memchr::{memchr, memchr2, memchr3, memrchr};

/// A piece of an indented string, before its indentation is taken off.
pub(super) enum Piece<'a> {
    /// Text as it stands in the source, from and to. Its spaces count as indentation.
    Text(usize, usize),
    /// What an escape stands for.
    Escape(&'a [u8]),
    Expr(Expr<'a>),
}

/// Where the text of the string read last is.
#[derive(Clone, Copy)]
enum Chunk {
    Source(usize, usize),
    Buffer,
}

impl<'a, 'p> Parser<'a, 'p> {
    /// The `e` of `${e}`, whose first byte is `from`, and the byte behind the `}`.
    fn antiquotation(&mut self, from: usize) -> R<(Expr<'a>, usize)> {
        self.advance_from(from);
        let expr = self.expr()?;
        if self.tok.kind != T::RBrace {
            return Err(self.unclosed(T::RBrace, from as u32 - 1));
        }
        Ok((expr, self.tok.end as usize))
    }

    #[cold]
    fn null_byte(&self, at: usize) -> Box<Error> {
        Error::new(Code::Syntax, self.pos_at(at as u32), "a string cannot contain a null byte")
    }

    // ------------------------------------------------------------ "…"

    /// A string in quotes. None if it has no antiquotation: then `plain_string` gives its bytes.
    pub(super) fn string(&mut self) -> R<Option<Expr<'a>>> {
        let open = self.tok.start;
        let mut p = self.tok.end as usize;
        let base = self.parts.len();
        let start = p;
        loop {
            let from = p;
            let (chunk, end) = self.chunk(from, open)?;
            let closes = self.text[end] == b'"';
            if closes && self.parts.len() == base {
                self.advance_from(end + 1);
                self.set_plain(chunk);
                return Ok(None);
            }
            let bytes = match chunk {
                Chunk::Source(from, to) => &self.text[from..to],
                Chunk::Buffer => &self.buf[..],
            };
            if !bytes.is_empty() {
                let v = Val::string(self.arena, bytes);
                self.parts.push((self.pos_at(from as u32), Expr::Const(v)));
            }
            if closes {
                self.advance_from(end + 1);
                break;
            }
            let at = self.pos_at(end as u32);
            let (expr, after) = self.antiquotation(end + 2)?;
            self.parts.push((at, expr));
            p = after;
        }
        let parts = self.arena.alloc_slice_fill_iter(self.parts.drain(base..));
        Ok(Some(Expr::Interp(self.arena.alloc(Interp { pos: self.pos_at(start as u32), is_path: false, parts }))))
    }

    fn set_plain(&mut self, chunk: Chunk) {
        self.plain = match chunk {
            Chunk::Source(from, to) => Some((from as u32, to as u32)),
            Chunk::Buffer => None,
        };
    }

    /// The bytes of the string that `string` read last.
    pub(super) fn plain_string(&self) -> &[u8] {
        match self.plain {
            Some((from, to)) => &self.text[from as usize..to as usize],
            None => &self.buf,
        }
    }

    /// The first byte from `p` on that is more than text: a quote, a backslash, or the dollar of `${`.
    #[inline]
    fn next_mark(&self, mut p: usize, open: u32) -> R<usize> {
        let text = self.text;
        loop {
            match memchr3(b'"', b'\\', b'$', &text[p..]) {
                None => return Err(self.unterminated("string", open, "\"")),
                Some(i) => p += i,
            }
            match (text[p], text.get(p + 1)) {
                // Of two dollars the second opens nothing.
                (b'$', Some(b'$')) => p += 2,
                (b'$', next) if next != Some(&b'{') => p += 1,
                _ => return Ok(p),
            }
        }
    }

    /// Text up to the closing quote or the next `${`, and where that is.
    #[inline]
    fn chunk(&mut self, from: usize, open: u32) -> R<(Chunk, usize)> {
        let text = self.text;
        let p = self.next_mark(from, open)?;
        if text[p] == b'\\' {
            return self.escaped_chunk(from, p, open);
        }
        if self.has_nul {
            self.check_nul(&text[from..p], from)?;
        }
        if self.has_cr && memchr(b'\r', &text[from..p]).is_some() {
            self.buf.clear();
            self.push_lines(from, p);
            return Ok((Chunk::Buffer, p));
        }
        Ok((Chunk::Source(from, p), p))
    }

    fn check_nul(&self, bytes: &[u8], from: usize) -> R<()> {
        match memchr(0, bytes) {
            Some(i) => Err(self.null_byte(from + i)),
            None => Ok(()),
        }
    }

    /// Adds text to the buffer; CR and CR LF become LF.
    fn push_lines(&mut self, from: usize, to: usize) {
        let mut piece = &self.text[from..to];
        if self.has_cr {
            while let Some(i) = memchr(b'\r', piece) {
                self.buf.extend_from_slice(&piece[..i]);
                self.buf.push(b'\n');
                piece = &piece[i + 1..];
                piece = piece.strip_prefix(b"\n").unwrap_or(piece);
            }
        }
        self.buf.extend_from_slice(piece);
    }

    /// `chunk` of a text whose first backslash is at `p`.
    fn escaped_chunk(&mut self, from: usize, mut p: usize, open: u32) -> R<(Chunk, usize)> {
        let text = self.text;
        self.buf.clear();
        let mut piece = from;
        loop {
            p = self.next_mark(p, open)?;
            self.push_lines(piece, p);
            if text[p] != b'\\' {
                break;
            }
            let Some(&c) = text.get(p + 1) else {
                return Err(self.unterminated("string", open, "\""));
            };
            self.buf.push(unescape(c));
            p += 2;
            piece = p;
        }
        if self.has_nul {
            self.check_nul(&text[from..p], from)?;
        }
        Ok((Chunk::Buffer, p))
    }

    // ------------------------------------------------------------ ''…''

    /// A string in double apostrophes.
    pub(super) fn indented_string(&mut self) -> R<Expr<'a>> {
        let open = self.tok.start;
        let text = self.text;
        let base = self.pieces.len();
        let mut p = self.tok.end as usize;
        loop {
            let from = p;
            let Some(()) = self.indented_text(&mut p) else {
                return Err(self.unterminated("indented string", open, "''"));
            };
            let at = self.pos_at(p as u32);
            if p > from {
                if self.has_nul {
                    self.check_nul(&text[from..p], from)?;
                }
                self.pieces.push((self.pos_at(from as u32), Piece::Text(from, p)));
            }
            // An apostrophe or a dollar that does more than stand for itself.
            match (text[p], text.get(p + 1), text.get(p + 2)) {
                (b'$', Some(b'{'), _) => {
                    let (expr, after) = self.antiquotation(p + 2)?;
                    self.pieces.push((at, Piece::Expr(expr)));
                    p = after;
                }
                (b'$', ..) => {
                    self.pieces.push((at, Piece::Escape(b"$")));
                    p += 1;
                }
                (_, Some(b'\''), Some(b'$')) => {
                    self.pieces.push((at, Piece::Escape(b"$")));
                    p += 3;
                }
                (_, Some(b'\''), Some(b'\'')) => {
                    self.pieces.push((at, Piece::Escape(b"''")));
                    p += 3;
                }
                (_, Some(b'\''), Some(b'\\')) => {
                    let Some(&c) = text.get(p + 3) else {
                        return Err(self.unterminated("indented string", open, "''"));
                    };
                    if c == 0 {
                        return Err(self.null_byte(p + 3));
                    }
                    self.pieces.push((at, Piece::Escape(self.arena.alloc_slice_copy(&[unescape(c)]))));
                    p += 4;
                }
                (_, Some(b'\''), _) => {
                    p += 2;
                    break;
                }
                _ => {
                    self.pieces.push((at, Piece::Escape(b"'")));
                    p += 1;
                }
            }
        }
        self.advance_from(p);
        self.strip_indentation(base, self.pos_at(open))
    }

    /// Moves over plain text to the next apostrophe or dollar that may mean something. None at the end of the file.
    #[inline]
    fn indented_text(&self, p: &mut usize) -> Option<()> {
        let text = self.text;
        loop {
            *p += memchr2(b'$', b'\'', text.get(*p..)?)?;
            let next = *text.get(*p + 1)?;
            let special = if text[*p] == b'$' { matches!(next, b'{' | b'\'') } else { matches!(next, b'\'' | b'$') };
            if special {
                return Some(());
            }
            *p += 2;
        }
    }

    /// Takes the indentation that all lines share off the pieces from `base`. Blank lines do not count, nor does a blank last line, which
    /// loses its spaces.
    fn strip_indentation(&mut self, base: usize, pos: Pos) -> R<Expr<'a>> {
        let text = self.text;
        let mut at_line_start = true;
        let mut least = 1_000_000;
        let mut indent = 0;
        for (_, piece) in &self.pieces[base..] {
            let &Piece::Text(from, to) = piece else {
                if at_line_start {
                    at_line_start = false;
                    least = least.min(indent);
                }
                continue;
            };
            let mut p = from;
            while p < to {
                if at_line_start {
                    while p < to && text[p] == b' ' {
                        p += 1;
                        indent += 1;
                    }
                    if p == to {
                        break;
                    }
                    if text[p] != b'\n' {
                        at_line_start = false;
                        least = least.min(indent);
                    }
                    indent = 0;
                    if at_line_start {
                        p += 1;
                        continue;
                    }
                }
                match memchr(b'\n', &text[p..to]) {
                    Some(i) => {
                        p += i + 1;
                        at_line_start = true;
                        indent = 0;
                    }
                    None => break,
                }
            }
        }

        let parts = self.parts.len();
        let mut at_line_start = true;
        let mut dropped = 0;
        let last = self.pieces.len() - base;
        self.buf.clear();
        let mut text_pos = None;
        for i in base..base + last {
            let at = self.pieces[i].0;
            let bytes: &[u8] = match &mut self.pieces[i].1 {
                Piece::Text(from, to) => &text[*from..*to],
                Piece::Escape(bytes) => bytes,
                Piece::Expr(expr) => {
                    let expr = take(expr);
                    at_line_start = false;
                    dropped = 0;
                    self.flush(&mut text_pos);
                    self.parts.push((at, expr));
                    continue;
                }
            };
            // Pieces side by side are one string, save where the tree is shown as CppNix would.
            if self.to_show {
                self.flush(&mut text_pos);
            }
            text_pos = text_pos.or(Some(at));
            let started = self.buf.len();
            let mut p = 0;
            while p < bytes.len() {
                if at_line_start {
                    while p < bytes.len() && bytes[p] == b' ' {
                        if dropped >= least {
                            self.buf.push(b' ');
                        }
                        dropped += 1;
                        p += 1;
                    }
                    if p == bytes.len() {
                        break;
                    }
                    dropped = 0;
                    at_line_start = bytes[p] == b'\n';
                    if at_line_start {
                        self.buf.push(b'\n');
                        p += 1;
                        continue;
                    }
                }
                match memchr(b'\n', &bytes[p..]) {
                    Some(i) => {
                        self.buf.extend_from_slice(&bytes[p..=p + i]);
                        p += i + 1;
                        at_line_start = true;
                    }
                    None => {
                        self.buf.extend_from_slice(&bytes[p..]);
                        break;
                    }
                }
            }
            if i + 1 == base + last {
                if let Some(newline) = memrchr(b'\n', &self.buf[started..]) {
                    if self.buf[started + newline + 1..].iter().all(|&c| c == b' ') {
                        self.buf.truncate(started + newline + 1);
                    }
                }
            }
        }
        self.pieces.truncate(base);
        self.flush(&mut text_pos);
        match &self.parts[parts..] {
            [] => return Ok(Expr::Const(Val::string(self.arena, b""))),
            [(_, Expr::Const(v))] if v.as_str().is_some() => {
                let v = *v;
                self.parts.truncate(parts);
                return Ok(Expr::Const(v));
            }
            _ => {}
        }
        let parts = self.arena.alloc_slice_fill_iter(self.parts.drain(parts..));
        Ok(Expr::Interp(self.arena.alloc(Interp { pos, is_path: false, parts })))
    }

    /// The buffer becomes a part of its own.
    fn flush(&mut self, text_pos: &mut Option<Pos>) {
        if let Some(at) = text_pos.take() {
            if !self.buf.is_empty() {
                let v = Val::string(self.arena, &self.buf);
                self.parts.push((at, Expr::Const(v)));
                self.buf.clear();
            }
        }
    }

    // ------------------------------------------------------------ paths

    /// `./a`, `/a/b`, `~/a`, each perhaps with antiquotations.
    pub(super) fn path_literal(&mut self) -> R<Expr<'a>> {
        let text = self.text;
        let (start, first_end) = (self.tok.start, self.tok.end as usize);
        let literal = self.tok_text();
        self.buf.clear();
        let options = self.options;
        let relative = match (self.tok.kind, literal) {
            (T::HPath, [_, rest @ ..]) => {
                let Some(home) = options.home else {
                    return Err(Error::new(Code::Forbidden, self.pos(), "a path in the home directory cannot be resolved")
                        .with_hint("`~/` needs the variable HOME, and evaluation that is not pure"));
                };
                push_path(&mut self.buf, home);
                rest
            }
            (_, [b'/', ..]) => literal,
            _ => {
                push_path(&mut self.buf, options.base_dir);
                literal
            }
        };
        push_path(&mut self.buf, relative);
        if self.buf.is_empty() {
            self.buf.push(b'/');
        }
        let mut slash = literal.last() == Some(&b'/');
        let mut p = first_end;
        let opens = |p: usize| text.get(p) == Some(&b'$') && text.get(p + 1) == Some(&b'{');
        if !opens(p) && !slash {
            let v = Val::path(self.arena, &self.buf);
            self.advance_from(p);
            return Ok(Expr::Const(v));
        }
        if slash && literal.len() > 1 && self.buf != b"/" {
            self.buf.push(b'/');
        }
        let base = self.parts.len();
        let v = Val::path(self.arena, &self.buf);
        self.parts.push((self.pos_at(start), Expr::Const(v)));
        let mut antiquoted = false;
        loop {
            if opens(p) {
                let at = self.pos_at(p as u32);
                let (expr, after) = self.antiquotation(p + 2)?;
                self.parts.push((at, expr));
                p = after;
                slash = false;
                antiquoted = true;
                continue;
            }
            let end = self.lexer.path_piece_end(p);
            if end == p {
                break;
            }
            if !antiquoted && !opens(end) {
                return Err(Error::new(Code::Syntax, self.pos_at(p as u32), "syntax error, unexpected '/' in a path")
                    .with_hint("a path has single slashes between its parts"));
            }
            let v = Val::string(self.arena, &text[p..end]);
            self.parts.push((self.pos_at(p as u32), Expr::Const(v)));
            slash = text[end - 1] == b'/';
            p = end;
        }
        if slash {
            return Err(
                Error::new(Code::Syntax, self.pos_at(p as u32), "path has a trailing slash").with_hint("leave it out; for a folder's own path too")
            );
        }
        self.advance_from(p);
        let parts = self.arena.alloc_slice_fill_iter(self.parts.drain(base..));
        Ok(Expr::Interp(self.arena.alloc(Interp { pos: self.pos_at(start), is_path: true, parts })))
    }
}

fn unescape(c: u8) -> u8 {
    match c {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        c => c,
    }
}

/// Appends the components of `path`, each behind a slash; `.` and `..` are resolved.
fn push_path(to: &mut Vec<u8>, path: &[u8]) {
    for part in path.split(|&c| c == b'/') {
        match part {
            b"" | b"." => {}
            b".." => to.truncate(memrchr(b'/', to).unwrap_or(0)),
            _ => {
                to.push(b'/');
                to.extend_from_slice(part);
            }
        }
    }
}
