//! What the parser says of a text that is not Nix: where, what was expected, and what is still open.
//!
//! All of it is cold. An error that only one kind of expression can have stands with that kind.

use super::*;

impl<'a> Parser<'a, '_> {
    #[cold]
    pub(super) fn too_deep(&self) -> Box<Error> {
        Error::new(Code::StackOverflow, self.pos(), "nesting too deep").with_hint(format!("expressions may nest {MAX_DEPTH} levels"))
    }

    /// The line and column of a byte of this text, for hints.
    pub(super) fn line_column(&self, offset: u32) -> (usize, usize) {
        let before = &self.text[..offset as usize];
        let line = 1 + memchr::memchr_iter(b'\n', before).count();
        (line, offset as usize - memchr::memrchr(b'\n', before).map_or(0, |i| i + 1) + 1)
    }

    #[cold]
    pub(super) fn unexpected(&self, expecting: &str) -> Box<Error> {
        let pos = self.pos();
        let text = String::from_utf8_lossy(self.tok_text());
        let what = match self.tok.kind {
            T::Id => format!("identifier '{text}'"),
            T::BadByte => {
                let rest = &self.text[self.tok.start as usize..];
                match rest.utf8_chunks().next().and_then(|chunk| chunk.valid().chars().next()) {
                    Some(c) if !c.is_control() => format!("character '{c}'"),
                    _ => format!("byte 0x{:02x}", rest.first().copied().unwrap_or(0)),
                }
            }
            T::BadComment => return self.unterminated("comment", self.tok.start, "*/"),
            kind => kind.name().to_string(),
        };
        let error = Error::new(Code::Syntax, pos, format!("syntax error, unexpected {what}, expecting {expecting}"));
        match self.tok.kind {
            T::Assign => error.with_hint("comparison is written `==`"),
            T::BadByte if !self.tok_text().is_ascii() => {
                error.with_hint("names consist of ASCII letters, digits and `_'-`; an attribute's may stand in quotes")
            }
            _ => error,
        }
    }

    #[cold]
    pub(super) fn unterminated(&self, what: &str, open: u32, close: &str) -> Box<Error> {
        let (line, _) = self.line_column(open);
        Error::new(Code::Syntax, self.pos_at(open), format!("syntax error, unexpected end of file in the {what} that starts here"))
            .with_hint(format!("the {what} of line {line} is never closed by `{close}`"))
    }

    #[cold]
    pub(super) fn unclosed(&self, close: T, open: u32) -> Box<Error> {
        let error = self.unexpected(close.name());
        let (line, column) = self.line_column(open);
        let bracket = String::from_utf8_lossy(&self.text[open as usize..(open as usize + 1)]).into_owned();
        let mut error = error.with_hint(format!("`{bracket}` of line {line}, column {column} is still open"));
        error.trace.push(Frame { pos: self.pos_at(open), text: format!("`{bracket}` was opened here") });
        error
    }

    #[cold]
    pub(super) fn no_else(&self, pos: Pos) -> Box<Error> {
        let mut error = self.unexpected("'else'").with_hint("every `if` needs `then` and `else`");
        error.trace.push(Frame { pos, text: "the `if` stands here".into() });
        error
    }

    #[cold]
    pub(super) fn no_item(&self, open: u32) -> Box<Error> {
        match self.tok.kind {
            T::Semi | T::Eof | T::RBrace | T::RParen | T::Assign => self.unclosed(T::RBracket, open),
            T::Comma => self.unexpected("an item or ']'").with_hint("items of a list are separated by spaces alone"),
            _ => self.unexpected("an item or ']'").with_hint("an item that is more than a name or a literal needs parentheses"),
        }
    }

    #[cold]
    pub(super) fn no_expression(&self) -> Box<Error> {
        let error = self.unexpected("an expression");
        match self.tok.kind {
            T::If | T::Assert | T::With => error.with_hint("it needs parentheses here"),
            T::Or => error.with_hint("`or` gives a default only after an attribute: `set.name or default`"),
            _ => error,
        }
    }
}
