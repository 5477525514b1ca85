//! What a function takes: `{ a, b ? 1, ... }`, and how it is told from a set.

use super::*;

impl<'a> Parser<'a, '_> {
    /// Whether the `{` here opens a function's arguments rather than a set.
    #[inline]
    pub(super) fn is_formals(&self) -> bool {
        let (c, at) = self.lexer.peek(self.tok.end as usize);
        match c {
            b'}' => matches!(self.lexer.peek(at + 1).0, b':' | b'@'),
            b'.' => self.text[at..].starts_with(b"..."),
            _ => {
                let end = self.lexer.identifier_end(at);
                end > at && matches!(self.lexer.peek(end).0, b',' | b'?' | b'}')
            }
        }
    }

    /// `{ a, b ? 1, ... }`
    pub(super) fn formals(&mut self) -> R<Formals<'a>> {
        let open = self.tok.start;
        self.advance();
        let base = self.formals.len();
        let mut ellipsis = false;
        loop {
            match self.tok.kind {
                T::RBrace => break,
                T::Ellipsis => {
                    ellipsis = true;
                    self.advance();
                    break;
                }
                T::Id => {
                    let pos = self.pos();
                    let sym = self.sym();
                    self.advance();
                    let mut default = None;
                    if self.tok.kind == T::Question {
                        self.advance();
                        default = Some(self.expr()?);
                    }
                    self.formals.push(Formal { sym, pos, default });
                    if self.tok.kind != T::Comma {
                        break;
                    }
                    self.advance();
                }
                _ => return Err(self.unexpected("the name of an argument")),
            }
        }
        self.expect_close(T::RBrace, open)?;
        let formals = &mut self.formals[base..];
        if !formals.windows(2).all(|w| w[0].sym < w[1].sym) {
            formals.sort_by_key(|f| f.sym);
            let twice = formals.windows(2).filter(|w| w[0].sym == w[1].sym).min_by_key(|w| w[1].pos);
            if let Some([first, second]) = twice {
                let (sym, before, pos) = (first.sym, first.pos, second.pos);
                return Err(self.duplicate_formal(sym, before, pos));
            }
        }
        let list = self.arena.alloc_slice_fill_iter(self.formals.drain(base..));
        Ok(Formals { ellipsis, list })
    }

    pub(super) fn check_arg(&self, formals: &Formals<'a>, arg: Sym, pos: Pos) -> R<()> {
        match formals.list.iter().find(|f| f.sym == arg) {
            Some(f) => Err(self.duplicate_formal(arg, f.pos, pos)),
            None => Ok(()),
        }
    }

    #[cold]
    fn duplicate_formal(&self, sym: Sym, before: Pos, pos: Pos) -> Box<Error> {
        let name = String::from_utf8_lossy(self.symbols.name(sym));
        let mut error = Error::new(Code::DuplicateAttribute, pos, format!("duplicate formal function argument '{name}'"));
        error.trace.push(Frame { pos: before, text: "it is named here already".into() });
        error
    }
}
