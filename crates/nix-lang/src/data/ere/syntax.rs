//! What a pattern is made of: tokens, bracket expressions and the byte sets they stand for.
//!
//! The scanner is modal, as libstdc++'s is: within brackets and braces other bytes are special than
//! outside, and it is the scanner alone that knows which of the three it is in. It therefore also
//! reads bracket expressions to their end, since these mean nothing but a set of bytes.
//!
//! Sets are bitmaps over all 256 bytes, complete before anything is matched; matching one byte is
//! one bit test, whatever the expression was. Classes are those of the C locale: the table of
//! collating names is that of ASCII, and an equivalence class is a letter in both cases.
//!
//! Whether tokens follow each other in a legal order is not judged here, brackets apart.

use super::RegexError;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Byte(u8),
    Any,
    LineBegin,
    LineEnd,
    Open,
    Close,
    Or,
    Star,
    Plus,
    Optional,
    Bracket { negated: bool },
    BracketEnd,
    BracketDash,
    Class(Vec<u8>),
    Collating(Vec<u8>),
    Equivalence(Vec<u8>),
    Brace,
    Count(u32),
    Comma,
    BraceEnd,
    End,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Normal,
    BracketStart,
    Bracket,
    Brace,
}

/// Reads a pattern token by token.
pub(super) struct Scanner<'a> {
    rest: &'a [u8],
    mode: Mode,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(pattern: &'a [u8]) -> Scanner<'a> {
        Scanner { rest: pattern, mode: Mode::Normal }
    }

    fn bump(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    pub(super) fn next(&mut self) -> Result<Token, RegexError> {
        match self.mode {
            Mode::Normal => self.next_normal(),
            Mode::BracketStart => {
                self.mode = Mode::Bracket;
                self.next_in_bracket(true)
            }
            Mode::Bracket => self.next_in_bracket(false),
            Mode::Brace => self.next_in_brace(),
        }
    }

    fn next_normal(&mut self) -> Result<Token, RegexError> {
        Ok(match self.bump() {
            None => Token::End,
            Some(b'\\') => match self.bump() {
                Some(byte) if b".[\\()*+?{|^$".contains(&byte) => Token::Byte(byte),
                _ => return Err(RegexError::Invalid),
            },
            Some(b'.') => Token::Any,
            Some(b'^') => Token::LineBegin,
            Some(b'$') => Token::LineEnd,
            Some(b'(') => Token::Open,
            Some(b')') => Token::Close,
            Some(b'|') => Token::Or,
            Some(b'*') => Token::Star,
            Some(b'+') => Token::Plus,
            Some(b'?') => Token::Optional,
            Some(b'{') => {
                self.mode = Mode::Brace;
                Token::Brace
            }
            Some(b'[') => {
                self.mode = Mode::BracketStart;
                let negated = self.rest.first() == Some(&b'^');
                if negated {
                    self.bump();
                }
                Token::Bracket { negated }
            }
            Some(0) => return Err(RegexError::Invalid),
            Some(byte) => Token::Byte(byte),
        })
    }

    fn next_in_bracket(&mut self, at_start: bool) -> Result<Token, RegexError> {
        Ok(match self.bump().ok_or(RegexError::Invalid)? {
            b'-' => Token::BracketDash,
            b'[' => match self.rest.first() {
                None => return Err(RegexError::Invalid),
                Some(b'.') => Token::Collating(self.delimited(b'.')?),
                Some(b':') => Token::Class(self.delimited(b':')?),
                Some(b'=') => Token::Equivalence(self.delimited(b'=')?),
                Some(_) => Token::Byte(b'['),
            },
            b']' if !at_start => {
                self.mode = Mode::Normal;
                Token::BracketEnd
            }
            byte => Token::Byte(byte),
        })
    }

    /// What stands between `:` and `:]` (or `.` and `.]`, `=` and `=]`).
    fn delimited(&mut self, mark: u8) -> Result<Vec<u8>, RegexError> {
        self.bump();
        let length = self.rest.iter().position(|&b| b == mark).ok_or(RegexError::Invalid)?;
        let name = self.rest[..length].to_vec();
        self.rest = &self.rest[length + 1..];
        match self.bump() {
            Some(b']') => Ok(name),
            _ => Err(RegexError::Invalid),
        }
    }

    fn next_in_brace(&mut self) -> Result<Token, RegexError> {
        Ok(match self.bump().ok_or(RegexError::Invalid)? {
            digit @ b'0'..=b'9' => {
                let mut count = u32::from(digit - b'0');
                while let Some(&digit @ b'0'..=b'9') = self.rest.first() {
                    self.bump();
                    count = count.saturating_mul(10).saturating_add(u32::from(digit - b'0'));
                }
                Token::Count(count)
            }
            b',' => Token::Comma,
            b'}' => {
                self.mode = Mode::Normal;
                Token::BraceEnd
            }
            _ => return Err(RegexError::Invalid),
        })
    }

    /// The set that a bracket expression stands for, up to and with its `]`.
    pub(super) fn read_bracket(&mut self, negated: bool) -> Result<ByteSet, RegexError> {
        #[derive(Clone, Copy)]
        enum Last {
            Nothing,
            Byte(u8),
            Class,
        }
        let mut set = ByteSet::EMPTY;
        let mut last = Last::Nothing;
        let mut token = self.next()?;
        if token == Token::BracketDash {
            last = Last::Byte(b'-');
            token = self.next()?;
        }
        loop {
            // A byte is added at once; whether it also starts a range is seen at the dash.
            if let Last::Byte(byte) = last {
                set.insert(byte);
            }
            match token {
                Token::BracketEnd => break,
                Token::Byte(byte) => last = Last::Byte(byte),
                Token::Class(name) => {
                    let test = class_test(&name).ok_or(RegexError::Invalid)?;
                    set.insert_where(|byte| test(&byte));
                    last = Last::Class;
                }
                Token::Collating(name) => {
                    last = Last::Byte(collating_element(&name).ok_or(RegexError::Invalid)?);
                }
                Token::Equivalence(name) => {
                    let element = collating_element(&name).ok_or(RegexError::Invalid)?;
                    set.insert_where(|byte| byte.eq_ignore_ascii_case(&element));
                    last = Last::Class;
                }
                Token::BracketDash => {
                    token = self.next()?;
                    let end = match (&token, last) {
                        (Token::BracketEnd, _) => {
                            set.insert(b'-');
                            break;
                        }
                        (Token::Byte(byte), Last::Byte(_)) => *byte,
                        (Token::BracketDash, Last::Byte(_)) => b'-',
                        _ => return Err(RegexError::Invalid),
                    };
                    if let Last::Byte(start) = last {
                        let (start, end) = (start as i8, end as i8);
                        if start > end {
                            return Err(RegexError::Invalid);
                        }
                        set.insert_where(|byte| (start..=end).contains(&(byte as i8)));
                    }
                    last = Last::Nothing;
                }
                _ => return Err(RegexError::Invalid),
            }
            token = self.next()?;
        }
        if negated {
            set.negate();
        }
        Ok(set)
    }
}

/// A set of bytes, as a bitmap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ByteSet([u64; 4]);

impl ByteSet {
    pub(super) const EMPTY: ByteSet = ByteSet([0; 4]);

    pub(super) fn insert(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    pub(super) fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] >> (byte & 63) & 1 != 0
    }

    fn insert_where(&mut self, test: impl Fn(u8) -> bool) {
        for byte in 0..=255 {
            if test(byte) {
                self.insert(byte);
            }
        }
    }

    pub(super) fn unite(&mut self, other: &ByteSet) {
        for (a, b) in self.0.iter_mut().zip(other.0) {
            *a |= b;
        }
    }

    pub(super) fn negate(&mut self) {
        for word in &mut self.0 {
            *word = !*word;
        }
    }
}

fn class_test(name: &[u8]) -> Option<fn(&u8) -> bool> {
    // The library lower-cases the name, and knows the short names d, s and w beside POSIX's.
    let test: fn(&u8) -> bool = match name.to_ascii_lowercase().as_slice() {
        b"alnum" => u8::is_ascii_alphanumeric,
        b"alpha" => u8::is_ascii_alphabetic,
        b"blank" => |b| matches!(b, b' ' | b'\t'),
        b"cntrl" => u8::is_ascii_control,
        b"digit" | b"d" => u8::is_ascii_digit,
        b"graph" => u8::is_ascii_graphic,
        b"lower" => u8::is_ascii_lowercase,
        b"print" => |b| matches!(b, 0x20..=0x7e),
        b"punct" => u8::is_ascii_punctuation,
        b"space" | b"s" => |b| matches!(b, b' ' | 0x09..=0x0d),
        b"upper" => u8::is_ascii_uppercase,
        b"xdigit" => u8::is_ascii_hexdigit,
        b"w" => |b| b.is_ascii_alphanumeric() || *b == b'_',
        _ => return None,
    };
    Some(test)
}

/// The POSIX names of the ASCII characters that are not written as themselves.
const COLLATING_NAMES: [(&[u8], u8); 76] = [
    (b"NUL", 0),
    (b"SOH", 1),
    (b"STX", 2),
    (b"ETX", 3),
    (b"EOT", 4),
    (b"ENQ", 5),
    (b"ACK", 6),
    (b"alert", 7),
    (b"backspace", 8),
    (b"tab", 9),
    (b"newline", 10),
    (b"vertical-tab", 11),
    (b"form-feed", 12),
    (b"carriage-return", 13),
    (b"SO", 14),
    (b"SI", 15),
    (b"DLE", 16),
    (b"DC1", 17),
    (b"DC2", 18),
    (b"DC3", 19),
    (b"DC4", 20),
    (b"NAK", 21),
    (b"SYN", 22),
    (b"ETB", 23),
    (b"CAN", 24),
    (b"EM", 25),
    (b"SUB", 26),
    (b"ESC", 27),
    (b"IS4", 28),
    (b"IS3", 29),
    (b"IS2", 30),
    (b"IS1", 31),
    (b"space", b' '),
    (b"exclamation-mark", b'!'),
    (b"quotation-mark", b'"'),
    (b"number-sign", b'#'),
    (b"dollar-sign", b'$'),
    (b"percent-sign", b'%'),
    (b"ampersand", b'&'),
    (b"apostrophe", b'\''),
    (b"left-parenthesis", b'('),
    (b"right-parenthesis", b')'),
    (b"asterisk", b'*'),
    (b"plus-sign", b'+'),
    (b"comma", b','),
    (b"hyphen", b'-'),
    (b"period", b'.'),
    (b"slash", b'/'),
    (b"zero", b'0'),
    (b"one", b'1'),
    (b"two", b'2'),
    (b"three", b'3'),
    (b"four", b'4'),
    (b"five", b'5'),
    (b"six", b'6'),
    (b"seven", b'7'),
    (b"eight", b'8'),
    (b"nine", b'9'),
    (b"colon", b':'),
    (b"semicolon", b';'),
    (b"less-than-sign", b'<'),
    (b"equals-sign", b'='),
    (b"greater-than-sign", b'>'),
    (b"question-mark", b'?'),
    (b"commercial-at", b'@'),
    (b"left-square-bracket", b'['),
    (b"backslash", b'\\'),
    (b"right-square-bracket", b']'),
    (b"circumflex", b'^'),
    (b"underscore", b'_'),
    (b"grave-accent", b'`'),
    (b"left-curly-bracket", b'{'),
    (b"vertical-line", b'|'),
    (b"right-curly-bracket", b'}'),
    (b"tilde", b'~'),
    (b"DEL", 127),
];

fn collating_element(name: &[u8]) -> Option<u8> {
    match name {
        [letter] if letter.is_ascii_alphabetic() => Some(*letter),
        _ => COLLATING_NAMES.iter().find(|(known, _)| *known == name).map(|(_, byte)| *byte),
    }
}
