//! JSON in and out, as CppNix has it by way of nlohmann's library.
//!
//! Reading is event by event into a [`Sink`], so that the evaluator builds its own values without
//! a tree in between. The reader keeps its own stack of open brackets, one bit each, and refuses
//! more than [`MAX_DEPTH`] of them, because whoever receives the events may not be as frugal.
//!
//! Numbers: integers of 64 bits are integers; what is below -2^63 or above 2^64 - 1 becomes a
//! float; what lies between 2^63 and 2^64 - 1 is an error, as in Nix 2.24 (2.8 let it wrap
//! around). A float too large for a double is an error. NUL in a string is an error, since a Nix
//! string cannot hold it.

use std::fmt;

/// How many arrays and objects may be open at once.
pub const MAX_DEPTH: usize = 100_000;

/// Receives what [`parse`] reads, in the order of the text.
///
/// Equal keys in one object are all reported; in CppNix the last one wins. An error stops the
/// reading and is reported at the offset where it happened.
pub trait Sink {
    fn null(&mut self) -> Result<(), String>;
    fn boolean(&mut self, value: bool) -> Result<(), String>;
    fn integer(&mut self, value: i64) -> Result<(), String>;
    fn float(&mut self, value: f64) -> Result<(), String>;
    /// `value` is UTF-8 without NUL.
    fn string(&mut self, value: &[u8]) -> Result<(), String>;
    fn start_array(&mut self) -> Result<(), String>;
    fn end_array(&mut self) -> Result<(), String>;
    fn start_object(&mut self) -> Result<(), String>;
    /// The value of the key follows as the next event.
    fn key(&mut self, name: &[u8]) -> Result<(), String>;
    fn end_object(&mut self) -> Result<(), String>;
}

/// Why a text is not JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// In bytes from the start of the text.
    pub offset: usize,
    pub message: String,
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at offset {}", self.message, self.offset)
    }
}

impl std::error::Error for JsonError {}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    /// The string read last, unless it could be borrowed.
    buffer: Vec<u8>,
}

/// Reads one JSON value that takes up the whole of `text`.
pub fn parse(text: &[u8], sink: &mut impl Sink) -> Result<(), JsonError> {
    let at = if text.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let mut reader = Reader { text, at, buffer: Vec::new() };
    // For each open bracket, whether it is an object.
    let mut open: Vec<bool> = Vec::new();
    'value: loop {
        reader.skip_space();
        let start = reader.at;
        let told = match reader.peek() {
            Some(b'{' | b'[') if open.len() >= MAX_DEPTH => {
                return Err(reader.error("nested too deeply"));
            }
            Some(b'{') => {
                reader.at += 1;
                reader.tell(sink.start_object())?;
                reader.skip_space();
                if reader.peek() == Some(b'}') {
                    reader.at += 1;
                    sink.end_object()
                } else {
                    open.push(true);
                    reader.read_key(sink)?;
                    continue 'value;
                }
            }
            Some(b'[') => {
                reader.at += 1;
                reader.tell(sink.start_array())?;
                reader.skip_space();
                if reader.peek() == Some(b']') {
                    reader.at += 1;
                    sink.end_array()
                } else {
                    open.push(false);
                    continue 'value;
                }
            }
            Some(b'"') => sink.string(reader.read_string()?),
            Some(b'-' | b'0'..=b'9') => match reader.read_number()? {
                Number::Integer(value) => sink.integer(value),
                Number::Float(value) => sink.float(value),
            },
            Some(b'n') => {
                reader.read_word(b"null")?;
                sink.null()
            }
            Some(b't') => {
                reader.read_word(b"true")?;
                sink.boolean(true)
            }
            Some(b'f') => {
                reader.read_word(b"false")?;
                sink.boolean(false)
            }
            None => return Err(reader.error("unexpected end of input; expected a value")),
            Some(_) => return Err(reader.error("expected a value")),
        };
        told.map_err(|message| JsonError { offset: start, message })?;
        // A value is complete; close what ends with it.
        loop {
            reader.skip_space();
            match (open.last(), reader.peek()) {
                (None, None) => return Ok(()),
                (None, Some(_)) => return Err(reader.error("expected end of input")),
                (Some(is_object), Some(b',')) => {
                    reader.at += 1;
                    if *is_object {
                        reader.skip_space();
                        reader.read_key(sink)?;
                    }
                    continue 'value;
                }
                (Some(true), Some(b'}')) => {
                    reader.at += 1;
                    reader.tell(sink.end_object())?;
                }
                (Some(false), Some(b']')) => {
                    reader.at += 1;
                    reader.tell(sink.end_array())?;
                }
                (Some(true), _) => return Err(reader.error("expected `,` or `}`")),
                (Some(false), _) => return Err(reader.error("expected `,` or `]`")),
            }
            open.pop();
        }
    }
}

enum Number {
    Integer(i64),
    Float(f64),
}

impl<'a> Reader<'a> {
    fn error(&self, message: &str) -> JsonError {
        JsonError { offset: self.at, message: message.to_owned() }
    }

    fn tell(&self, told: Result<(), String>) -> Result<(), JsonError> {
        told.map_err(|message| JsonError { offset: self.at, message })
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn read_word(&mut self, word: &[u8]) -> Result<(), JsonError> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.error("invalid literal"));
        }
        self.at += word.len();
        Ok(())
    }

    fn read_key(&mut self, sink: &mut impl Sink) -> Result<(), JsonError> {
        if self.peek() != Some(b'"') {
            return Err(self.error("expected a string as object key"));
        }
        let start = self.at;
        let told = sink.key(self.read_string()?);
        told.map_err(|message| JsonError { offset: start, message })?;
        self.skip_space();
        if self.peek() != Some(b':') {
            return Err(self.error("expected `:`"));
        }
        self.at += 1;
        Ok(())
    }

    fn skip_digits(&mut self, message: &str) -> Result<(), JsonError> {
        if !self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return Err(self.error(message));
        }
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        Ok(())
    }

    fn read_number(&mut self) -> Result<Number, JsonError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        if self.peek() == Some(b'0') {
            self.at += 1;
        } else {
            self.skip_digits("expected digit after `-`")?;
        }
        let mut is_integer = true;
        if self.peek() == Some(b'.') {
            is_integer = false;
            self.at += 1;
            self.skip_digits("expected digit after `.`")?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            is_integer = false;
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.skip_digits("expected digit in exponent")?;
        }
        let fail = |message: &str| JsonError { offset: start, message: message.to_owned() };
        let text = std::str::from_utf8(&self.text[start..self.at]);
        let text = text.map_err(|_| fail("invalid number"))?;
        if is_integer {
            if let Ok(value) = text.parse::<i64>() {
                return Ok(Number::Integer(value));
            }
            if text.parse::<u64>().is_ok() {
                let message = format!("unsigned json number {text} outside of Nix integer range");
                return Err(fail(&message));
            }
        }
        let value: f64 = text.parse().map_err(|_| fail("invalid number"))?;
        if value.is_infinite() {
            return Err(fail("number overflow"));
        }
        Ok(Number::Float(value))
    }

    fn read_string(&mut self) -> Result<&[u8], JsonError> {
        self.at += 1;
        self.buffer.clear();
        let start = self.at;
        let mut is_borrowed = true;
        let mut copied = self.at;
        loop {
            match self.peek() {
                None => return Err(self.error("missing closing quote")),
                Some(b'"') => break,
                Some(b'\\') => {
                    is_borrowed = false;
                    self.buffer.extend_from_slice(&self.text[copied..self.at]);
                    self.read_escape()?;
                    copied = self.at;
                }
                Some(0..=0x1f) => {
                    return Err(self.error("control character must be escaped"));
                }
                Some(0x20..=0x7f) => self.at += 1,
                Some(_) => self.skip_multibyte()?,
            }
        }
        let end = self.at;
        self.at += 1;
        if is_borrowed {
            return Ok(&self.text[start..end]);
        }
        self.buffer.extend_from_slice(&self.text[copied..end]);
        if self.buffer.contains(&0) {
            self.at = start;
            return Err(self.error("a string with a NUL character cannot be represented"));
        }
        Ok(&self.buffer)
    }

    fn skip_multibyte(&mut self) -> Result<(), JsonError> {
        // At most four bytes belong to the character here; what follows does not matter.
        let window = &self.text[self.at..self.text.len().min(self.at + 4)];
        let valid = match std::str::from_utf8(window) {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(&window[..error.valid_up_to()]).unwrap_or_default(),
        };
        match valid.chars().next() {
            Some(first) => self.at += first.len_utf8(),
            None => return Err(self.error("ill-formed UTF-8")),
        }
        Ok(())
    }

    fn read_escape(&mut self) -> Result<(), JsonError> {
        self.at += 1;
        let byte = match self.peek() {
            Some(byte @ (b'"' | b'\\' | b'/')) => byte,
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => {
                self.at += 1;
                let mut code = self.read_hex()?;
                if (0xd800..0xdc00).contains(&code) {
                    let low = match self.text.get(self.at..self.at + 2) {
                        Some(b"\\u") => {
                            self.at += 2;
                            self.read_hex()?
                        }
                        _ => 0,
                    };
                    if !(0xdc00..0xe000).contains(&low) {
                        return Err(self.error("high surrogate without a low one"));
                    }
                    code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                }
                let Some(character) = char::from_u32(code) else {
                    return Err(self.error("low surrogate without a high one"));
                };
                let mut bytes = [0; 4];
                self.buffer.extend_from_slice(character.encode_utf8(&mut bytes).as_bytes());
                return Ok(());
            }
            _ => return Err(self.error("invalid escape")),
        };
        self.buffer.push(byte);
        self.at += 1;
        Ok(())
    }

    fn read_hex(&mut self) -> Result<u32, JsonError> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            code = code * 16 + digit.ok_or_else(|| self.error("expected 4 hex digits"))?;
            self.at += 1;
        }
        Ok(code)
    }
}

/// Appends `value` as a JSON string. The error is the offset of bytes that are not UTF-8.
///
/// `/`, DEL and everything above ASCII stay as they are.
pub fn write_string(out: &mut Vec<u8>, value: &[u8]) -> Result<(), usize> {
    if let Err(error) = std::str::from_utf8(value) {
        return Err(error.valid_up_to());
    }
    out.push(b'"');
    let mut copied = 0;
    for (at, &byte) in value.iter().enumerate() {
        let escape = match byte {
            b'"' => b'"',
            b'\\' => b'\\',
            8 => b'b',
            12 => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0..=0x1f => 0,
            _ => continue,
        };
        out.extend_from_slice(&value[copied..at]);
        copied = at + 1;
        if escape == 0 {
            out.extend_from_slice(format!("\\u{byte:04x}").as_bytes());
        } else {
            out.extend_from_slice(&[b'\\', escape]);
        }
    }
    out.extend_from_slice(&value[copied..]);
    out.push(b'"');
    Ok(())
}

pub use super::number::write_float_json as write_float;

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes the events down as text.
    #[derive(Default)]
    struct Log(Vec<u8>);

    impl Log {
        fn put(&mut self, text: &[u8]) -> Result<(), String> {
            self.0.extend_from_slice(text);
            self.0.push(b' ');
            Ok(())
        }
    }

    impl Sink for Log {
        fn null(&mut self) -> Result<(), String> {
            self.put(b"null")
        }
        fn boolean(&mut self, value: bool) -> Result<(), String> {
            self.put(value.to_string().as_bytes())
        }
        fn integer(&mut self, value: i64) -> Result<(), String> {
            self.put(value.to_string().as_bytes())
        }
        fn float(&mut self, value: f64) -> Result<(), String> {
            let mut out = Vec::new();
            write_float(&mut out, value);
            self.put(&out)
        }
        fn string(&mut self, value: &[u8]) -> Result<(), String> {
            let mut out = Vec::new();
            write_string(&mut out, value).map_err(|at| at.to_string())?;
            self.put(&out)
        }
        fn start_array(&mut self) -> Result<(), String> {
            self.put(b"[")
        }
        fn end_array(&mut self) -> Result<(), String> {
            self.put(b"]")
        }
        fn start_object(&mut self) -> Result<(), String> {
            self.put(b"{")
        }
        fn key(&mut self, name: &[u8]) -> Result<(), String> {
            self.put(name)
        }
        fn end_object(&mut self) -> Result<(), String> {
            self.put(b"}")
        }
    }

    fn read(text: &[u8]) -> Result<String, JsonError> {
        let mut log = Log::default();
        parse(text, &mut log)?;
        Ok(String::from_utf8(log.0).unwrap().trim_end().to_owned())
    }

    #[test]
    fn accepts() {
        for (text, expected) in [
            (" [1, -2.5, true,false ,null, {} , []]\n", "[ 1 -2.5 true false null { } [ ] ]"),
            (r#"{"a":1,"a":{"b":[2]}}"#, "{ a 1 a { b [ 2 ] } }"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("-9223372036854775809", "-9.223372036854776e+18"),
            ("99999999999999999999", "1e+20"),
            ("-0", "0"),
            ("-0.0", "-0.0"),
            ("1E2", "100.0"),
            ("1e-400", "0.0"),
            (r#""\ud83d\ude00é\/\b\u0001""#, "\"😀é/\\b\\u0001\""),
            ("\u{feff}1", "1"),
        ] {
            assert_eq!(read(text.as_bytes()).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refuses() {
        for (text, offset) in [
            ("", 0),
            ("[1,]", 3),
            ("[1", 2),
            ("{\"a\":1,}", 7),
            ("{a:1}", 1),
            ("{\"a\"1}", 4),
            ("1 2", 2),
            (" 01", 2),
            ("-", 1),
            ("+1", 0),
            (".5", 0),
            ("1.", 2),
            ("1e", 2),
            ("1e400", 0),
            ("9223372036854775808", 0),
            ("18446744073709551615", 0),
            ("nul", 0),
            ("\"\\ud800\"", 7),
            ("\"\\udc00\"", 7),
            ("\"\\x\"", 2),
            ("\"a\nb\"", 2),
            ("\"\\u0000a\"", 1),
            ("[}", 1),
            ("\"", 1),
        ] {
            assert_eq!(read(text.as_bytes()).map_err(|e| e.offset), Err(offset), "{text}");
        }
        assert!(read(b"\"\xff\"").is_err());
        assert!(read(b"\"\xed\xa0\x80\"").is_err());
        assert!(read(b"\"\xc3\"").is_err());
        assert!(read(&vec![b'['; 10_000_000]).is_err());
    }

    #[test]
    fn every_prefix_of_a_document_is_refused() {
        let text = r#"{"a": [1.5e3, "\ud83d\ude00\n", null, {"é": false}]}"#.as_bytes();
        for end in 0..text.len() {
            assert!(read(&text[..end]).is_err());
        }
        assert!(read(text).is_ok());
    }

    #[test]
    fn writes_strings() {
        let mut out = Vec::new();
        write_string(&mut out, "\t\r\n\\\" é / \x7f\x01".as_bytes()).unwrap();
        assert_eq!(out, "\"\\t\\r\\n\\\\\\\" é / \x7f\\u0001\"".as_bytes());
        assert_eq!(write_string(&mut out, b"ab\xff"), Err(2));
    }
}
