//! The lexer: bytes to tokens, one at a time, on demand.
//!
//! It reads code only. What stands inside strings and behind a path's first part is read by the parser (`strings.rs`), which
//! moves `pos` itself; so the lexer has no modes. As in CppNix the longest match wins: `a/b` is a path, `a:b` a URI, `1.5` a float.
//! It never fails: what is no token becomes `T::Bad…`, and the parser makes the error.
//!
//! Whether a word goes on as a path or URI can only be seen at the end of a run of path characters. A run that was found to be neither is
//! remembered (`plain_until`), so that `a.b.c.d…` is looked through once.

use memchr::{memchr, memchr2};

/// The kinds of tokens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum T {
    Eof,
    Id,
    Int,
    Float,
    Quote,
    IndOpen,
    Path,
    HPath,
    SPath,
    Uri,
    If,
    Then,
    Else,
    Assert,
    With,
    Let,
    In,
    Rec,
    Inherit,
    Or,
    Ellipsis,
    Eq,
    NotEq,
    LessEq,
    GreaterEq,
    And,
    OrOr,
    Implies,
    Update,
    Concat,
    PipeFrom,
    PipeInto,
    DollarCurly,
    LBrace,
    RBrace,
    LParen,
    RParen,
    LBracket,
    RBracket,
    Semi,
    Colon,
    Comma,
    Dot,
    At,
    Question,
    Assign,
    Less,
    Greater,
    Plus,
    Minus,
    Star,
    Slash,
    Not,
    BadByte,
    BadComment,
}

impl T {
    /// How a message calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            T::Eof => "end of file",
            T::Id => "identifier",
            T::Int => "integer",
            T::Float => "floating-point number",
            T::Quote => "string",
            T::IndOpen => "indented string",
            T::Path | T::HPath => "path",
            T::SPath => "search path",
            T::Uri => "URI",
            T::If => "'if'",
            T::Then => "'then'",
            T::Else => "'else'",
            T::Assert => "'assert'",
            T::With => "'with'",
            T::Let => "'let'",
            T::In => "'in'",
            T::Rec => "'rec'",
            T::Inherit => "'inherit'",
            T::Or => "'or'",
            T::Ellipsis => "'...'",
            T::Eq => "'=='",
            T::NotEq => "'!='",
            T::LessEq => "'<='",
            T::GreaterEq => "'>='",
            T::And => "'&&'",
            T::OrOr => "'||'",
            T::Implies => "'->'",
            T::Update => "'//'",
            T::Concat => "'++'",
            T::PipeFrom => "'<|'",
            T::PipeInto => "'|>'",
            T::DollarCurly => "'${'",
            T::LBrace => "'{'",
            T::RBrace => "'}'",
            T::LParen => "'('",
            T::RParen => "')'",
            T::LBracket => "'['",
            T::RBracket => "']'",
            T::Semi => "';'",
            T::Colon => "':'",
            T::Comma => "','",
            T::Dot => "'.'",
            T::At => "'@'",
            T::Question => "'?'",
            T::Assign => "'='",
            T::Less => "'<'",
            T::Greater => "'>'",
            T::Plus => "'+'",
            T::Minus => "'-'",
            T::Star => "'*'",
            T::Slash => "'/'",
            T::Not => "'!'",
            T::BadByte => "character",
            T::BadComment => "comment without end",
        }
    }
}

const ID_START: u8 = 1;
const ID: u8 = 2;
const PATH: u8 = 4;
const DIGIT: u8 = 8;
const SPACE: u8 = 16;
const URI: u8 = 32;
const SCHEME: u8 = 64;

const CLASS: [u8; 256] = {
    let mut table = [0u8; 256];
    let mut i = 0;
    while i < 256 {
        let c = i as u8;
        if c.is_ascii_alphabetic() {
            table[i] = ID_START | ID | PATH | URI | SCHEME;
        } else if c.is_ascii_digit() {
            table[i] = ID | PATH | DIGIT | URI | SCHEME;
        } else {
            table[i] = match c {
                b'_' => ID_START | ID | PATH | URI,
                b'-' => ID | PATH | URI | SCHEME,
                b'\'' => ID | URI,
                b'.' | b'+' => PATH | URI | SCHEME,
                b' ' | b'\t' | b'\r' | b'\n' => SPACE,
                b'%' | b'/' | b'?' | b':' | b'@' | b'&' | b'=' | b'$' | b',' | b'!' | b'~' | b'*' => URI,
                _ => 0,
            };
        }
        i += 1;
    }
    table
};

#[inline(always)]
fn is(c: u8, class: u8) -> bool {
    CLASS[c as usize] & class != 0
}

/// One token: its kind and the bytes it covers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    pub kind: T,
    pub start: u32,
    pub end: u32,
}

pub(crate) struct Lexer<'t> {
    text: &'t [u8],
    /// Where the next token is looked for.
    pub pos: usize,
    /// No path and no URI starts before this byte.
    plain_until: usize,
}

impl<'t> Lexer<'t> {
    /// `text` is shorter than 4 GiB.
    pub(crate) fn new(text: &'t [u8]) -> Self {
        Lexer { text, pos: 0, plain_until: 0 }
    }

    #[inline(always)]
    fn at(&self, i: usize) -> u8 {
        self.text.get(i).copied().unwrap_or(0)
    }

    /// The first byte at or after `from` that is neither space nor comment; the end of the text, or where a comment without end starts.
    #[inline(always)]
    fn skip(&self, mut from: usize) -> usize {
        let text = self.text;
        loop {
            while from < text.len() && is(text[from], SPACE) {
                from += 1;
            }
            if from >= text.len() {
                return from;
            }
            if text[from] == b'#' {
                from = memchr2(b'\n', b'\r', &text[from..]).map_or(text.len(), |i| from + i);
            } else if text[from] == b'/' && self.at(from + 1) == b'*' {
                match comment_end(text, from) {
                    Some(end) => from = end,
                    None => return from,
                }
            } else {
                return from;
            }
        }
    }

    /// The next byte of code at or after `from`, and where it stands; zero at the end.
    pub(crate) fn peek(&self, from: usize) -> (u8, usize) {
        let p = self.skip(from);
        (self.at(p), p)
    }

    /// The end of the identifier that starts at `from`, or `from`.
    pub(crate) fn identifier_end(&self, from: usize) -> usize {
        let mut p = from;
        if is(self.at(p), ID_START) {
            while is(self.at(p), ID) {
                p += 1;
            }
        }
        p
    }

    #[inline]
    pub(crate) fn next(&mut self) -> Token {
        let start = self.skip(self.pos);
        let (kind, end) = self.token(start);
        self.pos = end;
        Token { kind, start: start as u32, end: end as u32 }
    }

    #[inline(always)]
    fn token(&mut self, p: usize) -> (T, usize) {
        let text = self.text;
        if p >= text.len() {
            return (T::Eof, p);
        }
        let c = text[p];
        if is(c, ID_START) {
            let mut e = p + 1;
            while e < text.len() && is(text[e], ID) {
                e += 1;
            }
            if matches!(self.at(e), b'/' | b':' | b'.' | b'+') {
                if let Some(longer) = self.path_or_uri(p, e) {
                    return longer;
                }
            }
            return (if e - p <= 7 { keyword(&text[p..e]) } else { T::Id }, e);
        }
        let d = self.at(p + 1);
        match c {
            b';' => (T::Semi, p + 1),
            b'=' if d == b'=' => (T::Eq, p + 2),
            b'=' => (T::Assign, p + 1),
            b'"' => (T::Quote, p + 1),
            b'{' => (T::LBrace, p + 1),
            b'}' => (T::RBrace, p + 1),
            b'(' => (T::LParen, p + 1),
            b')' => (T::RParen, p + 1),
            b'[' => (T::LBracket, p + 1),
            b']' => (T::RBracket, p + 1),
            b':' => (T::Colon, p + 1),
            b',' => (T::Comma, p + 1),
            b'@' => (T::At, p + 1),
            b'?' => (T::Question, p + 1),
            b'*' => (T::Star, p + 1),
            b'.' => {
                if is(d, PATH) || d == b'/' {
                    if let Some(longer) = self.path_or_uri(p, p + 1) {
                        return longer;
                    }
                    if d == b'.' && self.at(p + 2) == b'.' {
                        return (T::Ellipsis, p + 3);
                    }
                    if is(d, DIGIT) {
                        return (T::Float, self.exponent(self.digits(p + 1)));
                    }
                }
                (T::Dot, p + 1)
            }
            b'0'..=b'9' => self.number(p),
            b'\'' if d == b'\'' => {
                // The first line of an indented string does not count if it is blank.
                let mut e = p + 2;
                while self.at(e) == b' ' {
                    e += 1;
                }
                (T::IndOpen, if self.at(e) == b'\n' { e + 1 } else { p + 2 })
            }
            b'$' if d == b'{' => (T::DollarCurly, p + 2),
            b'+' => {
                if d == b'+' || is(d, PATH) || d == b'/' {
                    if let Some(longer) = self.path_or_uri(p, p + 1) {
                        return longer;
                    }
                }
                if d == b'+' {
                    (T::Concat, p + 2)
                } else {
                    (T::Plus, p + 1)
                }
            }
            b'-' => {
                if is(d, PATH) || d == b'/' {
                    if let Some(longer) = self.path_or_uri(p, p + 1) {
                        return longer;
                    }
                }
                if d == b'>' {
                    (T::Implies, p + 2)
                } else {
                    (T::Minus, p + 1)
                }
            }
            b'/' => {
                if d == b'/' {
                    (T::Update, p + 2)
                } else if d == b'*' {
                    (T::BadComment, text.len())
                } else {
                    self.path(p).unwrap_or((T::Slash, p + 1))
                }
            }
            b'~' if d == b'/' => match self.path(p + 1) {
                Some((_, e)) => (T::HPath, e),
                None => (T::BadByte, p + 1),
            },
            b'<' => self.search_path(p).unwrap_or(match d {
                b'=' => (T::LessEq, p + 2),
                b'|' => (T::PipeFrom, p + 2),
                _ => (T::Less, p + 1),
            }),
            b'>' if d == b'=' => (T::GreaterEq, p + 2),
            b'>' => (T::Greater, p + 1),
            b'!' if d == b'=' => (T::NotEq, p + 2),
            b'!' => (T::Not, p + 1),
            b'&' if d == b'&' => (T::And, p + 2),
            b'|' if d == b'|' => (T::OrOr, p + 2),
            b'|' if d == b'>' => (T::PipeInto, p + 2),
            _ => (T::BadByte, p + 1),
        }
    }

    fn digits(&self, mut p: usize) -> usize {
        while is(self.at(p), DIGIT) {
            p += 1;
        }
        p
    }

    /// The end of the exponent at `p`, if there is one.
    fn exponent(&self, p: usize) -> usize {
        if matches!(self.at(p), b'e' | b'E') {
            let q = if matches!(self.at(p + 1), b'+' | b'-') { p + 2 } else { p + 1 };
            if is(self.at(q), DIGIT) {
                return self.digits(q);
            }
        }
        p
    }

    fn number(&mut self, p: usize) -> (T, usize) {
        let e = self.digits(p);
        if is(self.at(e), PATH) || self.at(e) == b'/' {
            if let Some(path) = self.path_or_uri(p, e) {
                return path;
            }
        }
        if self.at(e) == b'.' {
            // Digits before the point must not start with zero, unless they are that zero and digits follow.
            if self.at(p) != b'0' || (e == p + 1 && is(self.at(e + 1), DIGIT)) {
                return (T::Float, self.exponent(self.digits(e + 1)));
            }
        }
        (T::Int, e)
    }

    /// A path or URI that starts at `p`; what is shorter ends at `e`.
    fn path_or_uri(&mut self, p: usize, e: usize) -> Option<(T, usize)> {
        if p < self.plain_until {
            return None;
        }
        let text = self.text;
        let mut q = p;
        let mut underscore = None;
        while q < text.len() && is(text[q], PATH) {
            if text[q] == b'_' {
                underscore = Some(q);
            }
            q += 1;
        }
        if q < e {
            return None;
        }
        let after = self.at(q + 1);
        match self.at(q) {
            b'/' if is(after, PATH) || (after == b'$' && self.at(q + 2) == b'{') => return self.path(p),
            b':' if is(after, URI) => {
                // A scheme starts with a letter and has no underscore.
                if let Some(at) = underscore {
                    self.plain_until = at + 1;
                } else if text[p].is_ascii_alphabetic() {
                    let mut end = q + 1;
                    while end < text.len() && is(text[end], URI) {
                        end += 1;
                    }
                    return Some((T::Uri, end));
                } else {
                    self.plain_until = p + text[p..q].iter().take_while(|c| !c.is_ascii_alphabetic()).count();
                }
            }
            _ => self.plain_until = q,
        }
        None
    }

    /// The literal part of a path from `p`: up to its end or the first `${`.
    fn path(&self, p: usize) -> Option<(T, usize)> {
        let mut q = p;
        while is(self.at(q), PATH) {
            q += 1;
        }
        if self.at(q) != b'/' {
            return None;
        }
        if is(self.at(q + 1), PATH) {
            return Some((T::Path, self.path_piece_end(q)));
        }
        if self.at(q + 1) == b'$' && self.at(q + 2) == b'{' {
            return Some((T::Path, q + 1));
        }
        None
    }

    /// The end of the longest run of path characters and single slashes from `p`.
    pub(crate) fn path_piece_end(&self, p: usize) -> usize {
        let mut q = p;
        while is(self.at(q), PATH) {
            q += 1;
        }
        while self.at(q) == b'/' {
            q += 1;
            if !is(self.at(q), PATH) {
                break;
            }
            while is(self.at(q), PATH) {
                q += 1;
            }
        }
        q
    }

    /// `<a/b>`
    fn search_path(&self, p: usize) -> Option<(T, usize)> {
        let mut q = p + 1;
        loop {
            let part = q;
            while is(self.at(q), PATH) {
                q += 1;
            }
            if q == part {
                return None;
            }
            match self.at(q) {
                b'/' => q += 1,
                b'>' => return Some((T::SPath, q + 1)),
                _ => return None,
            }
        }
    }
}

/// The end of the comment `/* … */` that starts at `from`.
fn comment_end(text: &[u8], from: usize) -> Option<usize> {
    let mut p = from + 2;
    loop {
        p += memchr(b'*', &text[p..])? + 1;
        if text.get(p) == Some(&b'/') {
            return Some(p + 1);
        }
    }
}

#[inline(always)]
fn keyword(word: &[u8]) -> T {
    match word {
        b"if" => T::If,
        b"then" => T::Then,
        b"else" => T::Else,
        b"assert" => T::Assert,
        b"with" => T::With,
        b"let" => T::Let,
        b"in" => T::In,
        b"rec" => T::Rec,
        b"inherit" => T::Inherit,
        b"or" => T::Or,
        _ => T::Id,
    }
}
