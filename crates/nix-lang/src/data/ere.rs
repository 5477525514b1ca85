//! POSIX extended regular expressions with the answers of CppNix.
//!
//! CppNix hands `builtins.match` and `builtins.split` to libstdc++'s `std::regex` with the
//! `extended` grammar, so what counts is not the POSIX text but what that library does with it:
//!
//! * Everything is a byte. `.` is any byte but NUL, ranges compare *signed* bytes.
//! * `\x` is legal only before one of ``. [ \ ( ) * + ? { | ^ $``; there are no back-references.
//! * Inside brackets a backslash is an ordinary byte.
//! * Quantifiers may be stacked, empty alternatives are allowed, an anchor cannot be repeated.
//! * An automaton of more than 100 000 states is refused, and the states are counted as there.
//! * A search is *not* leftmost-longest throughout: a repetition takes one round more whenever
//!   that leads to any match at all, and only the two sides of `|` are both tried, the longer
//!   winning. `a?(ab)?` finds `a` in `ab`. In a full match all solutions end at the same place, so
//!   there the order alone decides, as in Perl.
//!
//! That search order is a function of automaton state and position alone. The matcher therefore
//! backtracks directly, which is fast for ordinary patterns, and when a step budget in proportion
//! to the subject is used up it goes on with a table of results per (choice, position), which
//! makes the total work linear in subject × pattern. The two differ only for loops whose body can
//! match nothing before it tries something, as in `(|a)+`: there the table may find another extent
//! or other captures. The original needs exponential time on the patterns that reach the table.
//!
//! Nothing here recurses, neither in the parser nor in the matcher.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

/// The number of automaton states at which libstdc++ refuses a pattern.
const STATE_LIMIT: usize = 100_000;
/// Open decisions of one match; at 16 bytes each this bounds the matcher to 256 MiB.
const FRAME_LIMIT: usize = 1 << 24;
/// Results per (choice, position) kept in a flat table; beyond that a hash table is used.
const DENSE_LIMIT: usize = 1 << 22;
/// And how many the hash table may hold.
const SPARSE_LIMIT: usize = 1 << 23;

/// The captures of one match: entry 0 is the whole match, entry `n` the `n`th group.
pub type Captures = Vec<Option<Range<usize>>>;

/// Why a pattern cannot be compiled or a subject cannot be matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegexError {
    /// The pattern is not a regular expression.
    Invalid,
    /// The pattern's automaton, or the memory a match needs, is above the limit.
    Space,
    /// The caller's flag was set.
    Stopped,
}

impl fmt::Display for RegexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RegexError::Invalid => "invalid regular expression",
            RegexError::Space => "memory limit exceeded by regular expression",
            RegexError::Stopped => "interrupted",
        })
    }
}

impl std::error::Error for RegexError {}

// ---------------------------------------------------------------------------------------------
// Byte sets

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ByteSet([u64; 4]);

impl ByteSet {
    const EMPTY: ByteSet = ByteSet([0; 4]);

    fn insert(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] >> (byte & 63) & 1 != 0
    }

    fn insert_where(&mut self, test: impl Fn(u8) -> bool) {
        for byte in 0..=255 {
            if test(byte) {
                self.insert(byte);
            }
        }
    }

    fn unite(&mut self, other: &ByteSet) {
        for (a, b) in self.0.iter_mut().zip(other.0) {
            *a |= b;
        }
    }

    fn negate(&mut self) {
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

// ---------------------------------------------------------------------------------------------
// Tokens

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
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

struct Scanner<'a> {
    rest: &'a [u8],
    mode: Mode,
}

impl Scanner<'_> {
    fn bump(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    fn next(&mut self) -> Result<Token, RegexError> {
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
}

// ---------------------------------------------------------------------------------------------
// Automaton

const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Op {
    /// Does nothing; taken out once the automaton is complete, but counted against the limit.
    Dummy,
    /// `|`: `alt` is the left side, `next` the right one.
    Or(u32),
    /// `alt` is one round more, `next` leaves the loop.
    Repeat(u32),
    GroupBegin(u32),
    GroupEnd(u32),
    LineBegin,
    LineEnd,
    Set(u32),
    Accept,
}

#[derive(Clone, Copy, Debug)]
struct State {
    op: Op,
    next: u32,
    alt: u32,
}

impl State {
    fn has_alt(&self) -> bool {
        matches!(self.op, Op::Or(_) | Op::Repeat(_))
    }
}

/// A piece of the automaton under construction, whose last state leads nowhere yet.
#[derive(Clone, Copy)]
struct Seq {
    start: u32,
    end: u32,
}

struct Group {
    number: u32,
    begin: Seq,
    alternatives: Option<Seq>,
    current: Option<Seq>,
}

struct Compiler<'a> {
    scanner: Scanner<'a>,
    states: Vec<State>,
    sets: Vec<ByteSet>,
}

impl Compiler<'_> {
    fn add_state(&mut self, op: Op, next: u32, alt: u32) -> Result<u32, RegexError> {
        let id = self.states.len();
        if id >= STATE_LIMIT {
            return Err(RegexError::Space);
        }
        self.states.push(State { op, next, alt });
        Ok(id as u32)
    }

    fn add_leaf(&mut self, op: Op) -> Result<Seq, RegexError> {
        let id = self.add_state(op, NONE, NONE)?;
        Ok(Seq { start: id, end: id })
    }

    fn add_set(&mut self, set: ByteSet) -> Result<Seq, RegexError> {
        let index = self.sets.iter().position(|known| *known == set).unwrap_or_else(|| {
            self.sets.push(set);
            self.sets.len() - 1
        });
        self.add_leaf(Op::Set(index as u32))
    }

    fn append(&mut self, seq: &mut Seq, tail: Seq) {
        self.states[seq.end as usize].next = tail.start;
        seq.end = tail.end;
    }

    fn clone_seq(&mut self, seq: Seq) -> Result<Seq, RegexError> {
        let mut copies: HashMap<u32, u32> = HashMap::new();
        let mut pending = vec![seq.start];
        while let Some(id) = pending.pop() {
            if copies.contains_key(&id) {
                continue;
            }
            let state = self.states[id as usize];
            copies.insert(id, self.add_state(state.op, state.next, state.alt)?);
            if state.has_alt() && state.alt != NONE {
                pending.push(state.alt);
            }
            if id != seq.end && state.next != NONE {
                pending.push(state.next);
            }
        }
        for copy in copies.values() {
            let state = &mut self.states[*copy as usize];
            let find = |id: u32| copies.get(&id).copied().unwrap_or(id);
            state.next = find(state.next);
            state.alt = find(state.alt);
        }
        Ok(Seq { start: copies[&seq.start], end: copies[&seq.end] })
    }

    /// The automaton of the whole pattern, and how many groups it has.
    fn compile(&mut self) -> Result<u32, RegexError> {
        let mut whole = self.add_leaf(Op::GroupBegin(0))?;
        let mut groups = 1;
        let outermost = Group { number: 0, begin: whole, alternatives: None, current: None };
        let mut open = Vec::new();
        let mut group = outermost;
        let mut token = self.scanner.next()?;
        loop {
            let mut atom = match token {
                Token::Open => {
                    let begin = self.add_leaf(Op::GroupBegin(groups))?;
                    let inner = Group { number: groups, begin, alternatives: None, current: None };
                    groups += 1;
                    open.push(std::mem::replace(&mut group, inner));
                    token = self.scanner.next()?;
                    continue;
                }
                Token::Or => {
                    self.finish_alternative(&mut group)?;
                    token = self.scanner.next()?;
                    continue;
                }
                Token::Close => {
                    let outer = open.pop().ok_or(RegexError::Invalid)?;
                    self.finish_alternative(&mut group)?;
                    let inner = std::mem::replace(&mut group, outer);
                    let mut seq = inner.begin;
                    if let Some(alternatives) = inner.alternatives {
                        self.append(&mut seq, alternatives);
                    }
                    let end = self.add_leaf(Op::GroupEnd(inner.number))?;
                    self.append(&mut seq, end);
                    seq
                }
                Token::End => {
                    if !open.is_empty() {
                        return Err(RegexError::Invalid);
                    }
                    self.finish_alternative(&mut group)?;
                    if let Some(alternatives) = group.alternatives {
                        self.append(&mut whole, alternatives);
                    }
                    let end = self.add_leaf(Op::GroupEnd(0))?;
                    self.append(&mut whole, end);
                    let accept = self.add_leaf(Op::Accept)?;
                    self.append(&mut whole, accept);
                    return Ok(groups);
                }
                Token::LineBegin | Token::LineEnd => {
                    // An anchor is a term by itself: no quantifier may follow it.
                    let op = if token == Token::LineBegin { Op::LineBegin } else { Op::LineEnd };
                    let anchor = self.add_leaf(op)?;
                    self.extend_alternative(&mut group, anchor);
                    token = self.scanner.next()?;
                    continue;
                }
                Token::Any => {
                    let mut set = ByteSet::EMPTY;
                    set.insert(0);
                    set.negate();
                    self.add_set(set)?
                }
                Token::Byte(byte) => {
                    let mut set = ByteSet::EMPTY;
                    set.insert(byte);
                    self.add_set(set)?
                }
                Token::Bracket { negated } => {
                    let set = self.read_bracket(negated)?;
                    self.add_set(set)?
                }
                _ => return Err(RegexError::Invalid),
            };
            token = self.scanner.next()?;
            while self.read_quantifier(&token, &mut atom)? {
                token = self.scanner.next()?;
            }
            self.extend_alternative(&mut group, atom);
        }
    }

    fn extend_alternative(&mut self, group: &mut Group, term: Seq) {
        match &mut group.current {
            None => group.current = Some(term),
            Some(current) => {
                let mut seq = *current;
                self.append(&mut seq, term);
                group.current = Some(seq);
            }
        }
    }

    fn finish_alternative(&mut self, group: &mut Group) -> Result<(), RegexError> {
        let end = self.add_leaf(Op::Dummy)?;
        self.extend_alternative(group, end);
        let Some(mut right) = group.current.take() else { return Ok(()) };
        group.alternatives = Some(match group.alternatives {
            None => right,
            Some(mut left) => {
                let end = self.add_leaf(Op::Dummy)?;
                self.append(&mut left, end);
                self.append(&mut right, end);
                let or = self.add_state(Op::Or(0), right.start, left.start)?;
                Seq { start: or, end: end.end }
            }
        });
        Ok(())
    }

    /// Applies `token` to `atom` if it is a quantifier.
    fn read_quantifier(&mut self, token: &Token, atom: &mut Seq) -> Result<bool, RegexError> {
        match token {
            Token::Star => {
                let repeat = self.add_state(Op::Repeat(0), NONE, atom.start)?;
                let repeat = Seq { start: repeat, end: repeat };
                self.append(atom, repeat);
                *atom = repeat;
            }
            Token::Plus => {
                let repeat = self.add_state(Op::Repeat(0), NONE, atom.start)?;
                self.append(atom, Seq { start: repeat, end: repeat });
            }
            Token::Optional => {
                let end = self.add_leaf(Op::Dummy)?;
                let repeat = self.add_state(Op::Repeat(0), end.start, atom.start)?;
                self.append(atom, end);
                *atom = Seq { start: repeat, end: end.end };
            }
            Token::Brace => *atom = self.read_interval(*atom)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn read_interval(&mut self, atom: Seq) -> Result<Seq, RegexError> {
        let Token::Count(least) = self.scanner.next()? else { return Err(RegexError::Invalid) };
        let mut most = Some(least);
        let mut token = self.scanner.next()?;
        if token == Token::Comma {
            token = self.scanner.next()?;
            most = None;
            if let Token::Count(count) = token {
                most = Some(count);
                token = self.scanner.next()?;
            }
        }
        if token != Token::BraceEnd {
            return Err(RegexError::Invalid);
        }
        let mut seq = self.add_leaf(Op::Dummy)?;
        for _ in 0..least {
            let copy = self.clone_seq(atom)?;
            self.append(&mut seq, copy);
        }
        let Some(most) = most else {
            let mut copy = self.clone_seq(atom)?;
            let repeat = self.add_state(Op::Repeat(0), NONE, copy.start)?;
            let repeat = Seq { start: repeat, end: repeat };
            self.append(&mut copy, repeat);
            self.append(&mut seq, repeat);
            return Ok(seq);
        };
        let extra = most.checked_sub(least).ok_or(RegexError::Invalid)?;
        let end = self.add_leaf(Op::Dummy)?;
        for _ in 0..extra {
            let copy = self.clone_seq(atom)?;
            let repeat = self.add_state(Op::Repeat(0), end.start, copy.start)?;
            self.append(&mut seq, Seq { start: repeat, end: copy.end });
        }
        // The last optional copy ends at `copy.end`, whose way on is `end`; every `Repeat` above
        // leaves to `end` too.
        self.append(&mut seq, end);
        Ok(seq)
    }

    fn read_bracket(&mut self, negated: bool) -> Result<ByteSet, RegexError> {
        #[derive(Clone, Copy)]
        enum Last {
            Nothing,
            Byte(u8),
            Class,
        }
        let mut set = ByteSet::EMPTY;
        let mut last = Last::Nothing;
        let mut token = self.scanner.next()?;
        if token == Token::BracketDash {
            last = Last::Byte(b'-');
            token = self.scanner.next()?;
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
                    token = self.scanner.next()?;
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
            token = self.scanner.next()?;
        }
        if negated {
            set.negate();
        }
        Ok(set)
    }
}

/// A compiled regular expression.
pub struct Regex {
    states: Vec<State>,
    sets: Vec<ByteSet>,
    groups: usize,
    repeats: usize,
    choices: usize,
    /// The bytes a match can begin with; `None` if it can be empty or begins with an anchor.
    first: Option<ByteSet>,
}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Regex({} states, {} groups)", self.states.len(), self.groups)
    }
}

impl Regex {
    /// Compiles `pattern`.
    pub fn new(pattern: &[u8]) -> Result<Regex, RegexError> {
        let scanner = Scanner { rest: pattern, mode: Mode::Normal };
        let mut compiler = Compiler { scanner, states: Vec::new(), sets: Vec::new() };
        let groups = compiler.compile()? as usize;
        let (states, repeats, choices) = simplify(&compiler.states);
        let mut regex = Regex { states, sets: compiler.sets, groups, repeats, choices, first: None };
        regex.first = regex.first_bytes();
        Ok(regex)
    }

    /// How many groups the pattern has, the whole match not counted.
    pub fn groups(&self) -> usize {
        self.groups - 1
    }

    /// Matches the whole of `subject`; gives up when `stop` is set.
    pub fn match_full(&self, subject: &[u8], stop: &AtomicBool) -> Result<Option<Captures>, RegexError> {
        if let Some(first) = &self.first {
            if !subject.first().is_some_and(|&byte| first.has(byte)) {
                return Ok(None);
            }
        }
        let mut matcher = Matcher::new(self, subject, true, stop)?;
        matcher.match_at(0, false)
    }

    /// The successive matches in `subject`, as CppNix's `split` walks over them.
    ///
    /// After an empty match a non-empty one is tried at the same place before the search goes on.
    pub fn matches<'a>(&'a self, subject: &'a [u8], stop: &'a AtomicBool) -> Result<Matches<'a>, RegexError> {
        Ok(Matches { matcher: Matcher::new(self, subject, false, stop)?, last: None, done: false })
    }

    fn first_bytes(&self) -> Option<ByteSet> {
        let mut set = ByteSet::EMPTY;
        let mut seen = vec![false; self.states.len()];
        let mut pending = vec![0u32];
        while let Some(id) = pending.pop() {
            if std::mem::replace(&mut seen[id as usize], true) {
                continue;
            }
            let state = &self.states[id as usize];
            match state.op {
                Op::Set(index) => set.unite(&self.sets[index as usize]),
                Op::Accept | Op::LineBegin | Op::LineEnd => return None,
                _ => {
                    pending.push(state.next);
                    if state.has_alt() {
                        pending.push(state.alt);
                    }
                }
            }
        }
        Some(set)
    }
}

/// Takes out dummies and unreachable states, and numbers the repetitions and choices.
fn simplify(states: &[State]) -> (Vec<State>, usize, usize) {
    let skip = |mut id: u32| {
        while id != NONE && states[id as usize].op == Op::Dummy {
            id = states[id as usize].next;
        }
        id
    };
    let mut new_id = vec![NONE; states.len()];
    let mut order = Vec::new();
    let mut pending = vec![skip(0)];
    while let Some(id) = pending.pop() {
        if id == NONE || new_id[id as usize] != NONE {
            continue;
        }
        new_id[id as usize] = order.len() as u32;
        order.push(id);
        let state = &states[id as usize];
        if state.has_alt() {
            pending.push(skip(state.alt));
        }
        pending.push(skip(state.next));
    }
    let rename = |id: u32| match skip(id) {
        NONE => NONE,
        id => new_id[id as usize],
    };
    let (mut repeats, mut choices) = (0u32, 0u32);
    let mut kept: Vec<State> = order
        .iter()
        .map(|&id| {
            let State { op, next, alt } = states[id as usize];
            State { op, next: rename(next), alt: rename(alt) }
        })
        .collect();
    // Repetitions come first, so that one number serves both as index of a repetition and of a
    // choice.
    for state in &mut kept {
        if let Op::Repeat(number) = &mut state.op {
            *number = repeats;
            repeats += 1;
        }
    }
    choices += repeats;
    for state in &mut kept {
        if let Op::Or(number) = &mut state.op {
            *number = choices;
            choices += 1;
        }
    }
    (kept, repeats as usize, choices as usize)
}

// ---------------------------------------------------------------------------------------------
// Matching

/// What is left to do when a path through the automaton has ended.
#[derive(Clone, Copy)]
enum Frame {
    /// Leave the loop, unless one round more led to a match.
    Leave {
        to: u32,
        at: u32,
    },
    /// A loop over one byte set took everything up to `at`; give back down to `least`.
    Shorten {
        to: u32,
        least: u32,
        at: u32,
    },
    /// Try the right side of `|`.
    Right {
        to: u32,
        at: u32,
    },
    /// Both sides of `|` were tried; this was the left one's result.
    Join {
        left: u32,
    },
    Capture {
        slot: u32,
        value: u32,
    },
    Rounds {
        repeat: u32,
        at: u32,
        count: u32,
    },
    Remember {
        choice: u32,
        at: u32,
    },
}

/// Results per (choice, position): 0 unknown, `FAILED`, `OPEN` (being computed), or end + 2.
enum Table {
    Dense(Vec<u32>),
    Sparse(HashMap<u64, u32>),
}

const FAILED: u32 = 1;
const OPEN: u32 = u32::MAX;
/// "No match" as the result of a path; never a position, see `Matcher::new`.
const NO_MATCH: u32 = u32::MAX;
/// "Not set" for a capture.
const UNSET: u32 = u32::MAX;

impl Table {
    fn get(&self, key: u64) -> u32 {
        match self {
            Table::Dense(cells) => cells.get(key as usize).copied().unwrap_or(0),
            Table::Sparse(cells) => cells.get(&key).copied().unwrap_or(0),
        }
    }

    fn set(&mut self, key: u64, value: u32) -> Result<(), RegexError> {
        match self {
            Table::Dense(cells) => {
                if let Some(cell) = cells.get_mut(key as usize) {
                    *cell = value;
                }
            }
            Table::Sparse(cells) => {
                cells.insert(key, value);
                if cells.len() > SPARSE_LIMIT {
                    return Err(RegexError::Space);
                }
            }
        }
        Ok(())
    }
}

struct Matcher<'a> {
    regex: &'a Regex,
    subject: &'a [u8],
    full: bool,
    stop: &'a AtomicBool,
    frames: Vec<Frame>,
    /// Begin, pending begin and end of each group are `3n`, `3n + 1` and `3n + 2`.
    captures: Vec<u32>,
    best: Vec<u32>,
    best_end: u32,
    /// Per repetition: where it was last entered, and how often it was entered there.
    rounds: Vec<(u32, u32)>,
    budget: usize,
    table: Option<Table>,
    /// The table's column for the start of a match that must not be empty.
    start_column: Vec<u32>,
    /// The start of the match under way, if it must not be empty.
    not_empty_at: u32,
    /// Per repetition, while captures are read from the table: where it was last entered.
    entered: Vec<u32>,
}

impl<'a> Matcher<'a> {
    fn new(regex: &'a Regex, subject: &'a [u8], full: bool, stop: &'a AtomicBool) -> Result<Matcher<'a>, RegexError> {
        if subject.len() >= (u32::MAX - 8) as usize {
            return Err(RegexError::Space);
        }
        Ok(Matcher {
            regex,
            subject,
            full,
            stop,
            frames: Vec::new(),
            captures: vec![UNSET; regex.groups * 2],
            best: Vec::new(),
            best_end: NO_MATCH,
            rounds: vec![(UNSET, 0); regex.repeats],
            budget: subject.len().saturating_mul(64).saturating_add(20_000),
            table: None,
            start_column: Vec::new(),
            not_empty_at: UNSET,
            entered: Vec::new(),
        })
    }

    /// The match that starts at `start`.
    fn match_at(&mut self, start: usize, not_empty: bool) -> Result<Option<Captures>, RegexError> {
        self.check_stop()?;
        let start = start as u32;
        self.not_empty_at = if not_empty { start } else { UNSET };
        if self.table.is_none() {
            if let Some(found) = self.run_direct(start)? {
                return Ok(if found { Some(to_captures(&self.best)) } else { None });
            }
            let cells = (self.subject.len() + 1).saturating_mul(self.regex.choices);
            self.table = Some(if cells <= DENSE_LIMIT { Table::Dense(vec![0; cells]) } else { Table::Sparse(HashMap::new()) });
            self.entered = vec![UNSET; self.regex.repeats];
        }
        self.start_column.clear();
        self.start_column.resize(self.regex.choices, 0);
        if self.run_table(0, start)? == NO_MATCH {
            return Ok(None);
        }
        self.read_captures(start).map(Some)
    }

    fn check_stop(&self) -> Result<(), RegexError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(RegexError::Stopped);
        }
        Ok(())
    }

    fn push(&mut self, frame: Frame) -> Result<(), RegexError> {
        if self.frames.len() >= FRAME_LIMIT {
            return Err(RegexError::Space);
        }
        self.check_stop()?;
        self.frames.push(frame);
        Ok(())
    }

    fn is_accepted(&self, at: u32) -> bool {
        at != self.not_empty_at && (!self.full || at as usize == self.subject.len())
    }

    /// Backtracks; `None` when the budget is used up. Leaves the captures in `best`.
    fn run_direct(&mut self, start: u32) -> Result<Option<bool>, RegexError> {
        let (regex, subject) = (self.regex, self.subject);
        self.frames.clear();
        self.captures.fill(UNSET);
        self.rounds.fill((UNSET, 0));
        self.best_end = NO_MATCH;
        let (mut pc, mut at) = (0u32, start);
        let mut result;
        'path: loop {
            // Forward along one path, to its end.
            result = loop {
                if self.budget == 0 {
                    return Ok(None);
                }
                self.budget -= 1;
                let state = &regex.states[pc as usize];
                match state.op {
                    Op::Set(index) => {
                        match subject.get(at as usize) {
                            Some(&byte) if regex.sets[index as usize].has(byte) => at += 1,
                            _ => break NO_MATCH,
                        }
                        pc = state.next;
                    }
                    Op::GroupBegin(number) | Op::GroupEnd(number) => {
                        let is_end = u32::from(matches!(state.op, Op::GroupEnd(_)));
                        let slot = number * 2 + is_end;
                        let value = std::mem::replace(&mut self.captures[slot as usize], at);
                        self.push(Frame::Capture { slot, value })?;
                        pc = state.next;
                    }
                    Op::LineBegin if at == 0 => pc = state.next,
                    Op::LineEnd if at as usize == subject.len() => pc = state.next,
                    Op::LineBegin | Op::LineEnd => break NO_MATCH,
                    Op::Or(_) => {
                        self.push(Frame::Right { to: state.next, at })?;
                        pc = state.alt;
                    }
                    Op::Repeat(repeat) => {
                        let body = &regex.states[state.alt as usize];
                        if let (Op::Set(index), true) = (body.op, body.next == pc) {
                            let set = &regex.sets[index as usize];
                            let rest = subject.get(at as usize..).unwrap_or(&[]);
                            let taken = rest.iter().take_while(|&&b| set.has(b)).count();
                            self.budget = self.budget.saturating_sub(taken / 8);
                            let least = at;
                            at += taken as u32;
                            if at > least {
                                self.push(Frame::Shorten { to: state.next, least, at })?;
                            }
                            pc = state.next;
                            continue;
                        }
                        let (entered_at, count) = self.rounds[repeat as usize];
                        let rounds = if entered_at == at { count + 1 } else { 1 };
                        // A body that matched nothing may be entered once more, for its captures.
                        if rounds > 2 {
                            pc = state.next;
                            continue;
                        }
                        self.push(Frame::Leave { to: state.next, at })?;
                        self.push(Frame::Rounds { repeat, at: entered_at, count })?;
                        self.rounds[repeat as usize] = (at, rounds);
                        pc = state.alt;
                    }
                    Op::Accept if self.is_accepted(at) => {
                        if self.best_end == NO_MATCH || at > self.best_end {
                            self.best_end = at;
                            self.best.clone_from(&self.captures);
                        }
                        if self.full {
                            return Ok(Some(true));
                        }
                        break at;
                    }
                    Op::Accept | Op::Dummy => break NO_MATCH,
                }
            };
            // Back to the last open decision.
            while let Some(frame) = self.frames.pop() {
                match frame {
                    Frame::Leave { to, at: back } => {
                        if result == NO_MATCH {
                            (pc, at) = (to, back);
                            continue 'path;
                        }
                    }
                    Frame::Shorten { to, least, at: longest } => {
                        if result == NO_MATCH && longest > least {
                            let shorter = longest - 1;
                            if shorter > least {
                                self.frames.push(Frame::Shorten { to, least, at: shorter });
                            }
                            (pc, at) = (to, shorter);
                            continue 'path;
                        }
                    }
                    Frame::Right { to, at: back } => {
                        self.frames.push(Frame::Join { left: result });
                        (pc, at) = (to, back);
                        continue 'path;
                    }
                    Frame::Join { left } => result = longer(left, result),
                    Frame::Capture { slot, value } => self.captures[slot as usize] = value,
                    Frame::Rounds { repeat, at, count } => {
                        self.rounds[repeat as usize] = (at, count);
                    }
                    Frame::Remember { .. } => {}
                }
            }
            return Ok(Some(self.best_end != NO_MATCH));
        }
    }

    fn get_known(&self, choice: u32, at: u32) -> u32 {
        if at == self.not_empty_at {
            return self.start_column[choice as usize];
        }
        let key = u64::from(at) * self.regex.choices as u64 + u64::from(choice);
        self.table.as_ref().map_or(0, |table| table.get(key))
    }

    fn set_known(&mut self, choice: u32, at: u32, value: u32) -> Result<(), RegexError> {
        if at == self.not_empty_at {
            self.start_column[choice as usize] = value;
            return Ok(());
        }
        let key = u64::from(at) * self.regex.choices as u64 + u64::from(choice);
        self.table.as_mut().map_or(Ok(()), |table| table.set(key, value))
    }

    /// Where the match from state `pc` at `at` ends, by the table of earlier results.
    fn run_table(&mut self, mut pc: u32, mut at: u32) -> Result<u32, RegexError> {
        let (regex, subject) = (self.regex, self.subject);
        self.frames.clear();
        'path: loop {
            let mut result = loop {
                let state = &regex.states[pc as usize];
                match state.op {
                    Op::Set(index) => {
                        match subject.get(at as usize) {
                            Some(&byte) if regex.sets[index as usize].has(byte) => at += 1,
                            _ => break NO_MATCH,
                        }
                        pc = state.next;
                    }
                    Op::GroupBegin(_) | Op::GroupEnd(_) => pc = state.next,
                    Op::LineBegin if at == 0 => pc = state.next,
                    Op::LineEnd if at as usize == subject.len() => pc = state.next,
                    Op::LineBegin | Op::LineEnd => break NO_MATCH,
                    Op::Or(choice) | Op::Repeat(choice) => {
                        let is_repeat = matches!(state.op, Op::Repeat(_));
                        if is_repeat && self.entered[choice as usize] == at {
                            pc = state.next;
                            continue;
                        }
                        match self.get_known(choice, at) {
                            0 => {}
                            FAILED => break NO_MATCH,
                            OPEN => {
                                pc = state.next;
                                continue;
                            }
                            known => break known - 2,
                        }
                        self.push(Frame::Remember { choice, at })?;
                        if is_repeat {
                            self.set_known(choice, at, OPEN)?;
                            self.push(Frame::Leave { to: state.next, at })?;
                        } else {
                            self.push(Frame::Right { to: state.next, at })?;
                        }
                        pc = state.alt;
                    }
                    Op::Accept if self.is_accepted(at) => break at,
                    Op::Accept | Op::Dummy => break NO_MATCH,
                }
            };
            while let Some(frame) = self.frames.pop() {
                match frame {
                    Frame::Leave { to, at: back } => {
                        if result == NO_MATCH {
                            (pc, at) = (to, back);
                            continue 'path;
                        }
                    }
                    Frame::Right { to, at: back } => {
                        if !self.full || result == NO_MATCH {
                            self.frames.push(Frame::Join { left: result });
                            (pc, at) = (to, back);
                            continue 'path;
                        }
                    }
                    Frame::Join { left } => result = longer(left, result),
                    Frame::Remember { choice, at } => {
                        let value = if result == NO_MATCH { FAILED } else { result + 2 };
                        self.set_known(choice, at, value)?;
                    }
                    Frame::Shorten { .. } | Frame::Capture { .. } | Frame::Rounds { .. } => {}
                }
            }
            return Ok(result);
        }
    }

    /// Walks the decisions recorded in the table once more, now noting the groups.
    fn read_captures(&mut self, start: u32) -> Result<Captures, RegexError> {
        let regex = self.regex;
        let mut captures = vec![UNSET; regex.groups * 2];
        self.entered.fill(UNSET);
        let (mut pc, mut at) = (0u32, start);
        loop {
            let state = &regex.states[pc as usize];
            match state.op {
                Op::Set(_) => {
                    if at as usize >= self.subject.len() {
                        break Err(RegexError::Space);
                    }
                    at += 1;
                    pc = state.next;
                }
                Op::GroupBegin(number) => {
                    captures[number as usize * 2] = at;
                    pc = state.next;
                }
                Op::GroupEnd(number) => {
                    captures[number as usize * 2 + 1] = at;
                    pc = state.next;
                }
                Op::Repeat(repeat) => {
                    let again = self.entered[repeat as usize] != at && {
                        self.entered[repeat as usize] = at;
                        self.run_table(state.alt, at)? != NO_MATCH
                    };
                    pc = if again { state.alt } else { state.next };
                }
                Op::Or(_) => {
                    let left = self.run_table(state.alt, at)?;
                    let right = if self.full && left != NO_MATCH { NO_MATCH } else { self.run_table(state.next, at)? };
                    let is_left = left != NO_MATCH && (right == NO_MATCH || left >= right);
                    pc = if is_left { state.alt } else { state.next };
                }
                Op::LineBegin | Op::LineEnd | Op::Dummy => pc = state.next,
                Op::Accept => {
                    self.entered.fill(UNSET);
                    break Ok(to_captures(&captures));
                }
            }
        }
    }
}

fn longer(left: u32, right: u32) -> u32 {
    match (left, right) {
        (NO_MATCH, _) => right,
        (_, NO_MATCH) => left,
        _ => left.max(right),
    }
}

fn to_captures(slots: &[u32]) -> Captures {
    slots
        .chunks_exact(2)
        .map(|pair| match pair {
            [begin, end] if *begin != UNSET && *end != UNSET && begin <= end => Some(*begin as usize..*end as usize),
            _ => None,
        })
        .collect()
}

/// The successive matches of a regular expression; see [`Regex::matches`].
pub struct Matches<'a> {
    matcher: Matcher<'a>,
    last: Option<Range<usize>>,
    done: bool,
}

impl Matches<'_> {
    fn search(&mut self, from: usize) -> Result<Option<Captures>, RegexError> {
        let subject = self.matcher.subject;
        let mut start = from;
        loop {
            if let Some(first) = &self.matcher.regex.first {
                let rest = subject.get(start..).unwrap_or(&[]);
                match rest.iter().position(|&byte| first.has(byte)) {
                    Some(distance) => start += distance,
                    None => return Ok(None),
                }
            }
            if let Some(captures) = self.matcher.match_at(start, false)? {
                return Ok(Some(captures));
            }
            if start >= subject.len() {
                return Ok(None);
            }
            start += 1;
        }
    }

    fn find_next(&mut self) -> Result<Option<Captures>, RegexError> {
        let Some(last) = self.last.clone() else { return self.search(0) };
        let mut from = last.end;
        if last.is_empty() {
            if from == self.matcher.subject.len() {
                return Ok(None);
            }
            if let Some(captures) = self.matcher.match_at(from, true)? {
                return Ok(Some(captures));
            }
            from += 1;
        }
        self.search(from)
    }
}

impl Iterator for Matches<'_> {
    type Item = Result<Captures, RegexError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let found = self.find_next();
        match &found {
            Ok(Some(captures)) => self.last = captures.first().cloned().flatten(),
            _ => self.done = true,
        }
        found.transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static NEVER: AtomicBool = AtomicBool::new(false);

    fn texts(captures: &Captures, subject: &str) -> String {
        let mut out = String::from("[ ");
        for group in &captures[1..] {
            match group {
                Some(range) => out += &format!("\"{}\" ", &subject[range.clone()]),
                None => out += "null ",
            }
        }
        out + "]"
    }

    fn matched(pattern: &str, subject: &str) -> String {
        let regex = match Regex::new(pattern.as_bytes()) {
            Ok(regex) => regex,
            Err(error) => return format!("{error:?}"),
        };
        match regex.match_full(subject.as_bytes(), &NEVER) {
            Ok(Some(captures)) => texts(&captures, subject),
            Ok(None) => "null".to_owned(),
            Err(error) => format!("{error:?}"),
        }
    }

    fn split(pattern: &str, subject: &str) -> String {
        let regex = Regex::new(pattern.as_bytes()).unwrap();
        let (mut out, mut last) = (String::from("[ "), 0);
        for captures in regex.matches(subject.as_bytes(), &NEVER).unwrap() {
            let captures = captures.unwrap();
            let whole = captures[0].clone().unwrap();
            out += &format!("\"{}\" {} ", &subject[last..whole.start], texts(&captures, subject));
            last = whole.end;
        }
        out + &format!("\"{}\" ]", &subject[last..])
    }

    #[test]
    fn matches_whole_subjects() {
        for (pattern, subject, expected) in [
            ("", "", "[ ]"),
            (".", "\n", "[ ]"),
            ("()", "", "[ \"\" ]"),
            ("a|", "", "[ ]"),
            ("(|a)", "", "[ \"\" ]"),
            ("a**", "aa", "[ ]"),
            ("a{2}{3}", "aaaaaa", "[ ]"),
            ("a{2,}", "aaa", "[ ]"),
            ("]", "]", "[ ]"),
            ("}", "}", "[ ]"),
            ("[]a]", "]", "[ ]"),
            ("[^]a]", "b", "[ ]"),
            ("[a-]", "-", "[ ]"),
            ("[--a]", "5", "[ ]"),
            ("[[:alpha:]]", "b", "[ ]"),
            ("[[:d:]]+", "12", "[ ]"),
            ("[[.hyphen.]]", "-", "[ ]"),
            ("[[=a=]]", "a", "[ ]"),
            ("[\\n]", "\\", "[ ]"),
            ("a^b", "a^b", "null"),
            ("^a$", "a", "[ ]"),
            ("[é]", "é", "null"),
            ("..", "é", "[ ]"),
            ("a(b)(c)", "abc", "[ \"b\" \"c\" ]"),
            ("((a)|b)*", "ab", "[ \"b\" \"a\" ]"),
            ("(b*|(b?|c)*a)+", "a", "[ \"\" \"\" ]"),
            ("[[:space:]]+([[:upper:]]+)[[:space:]]+", "  FOO   ", "[ \"FOO\" ]"),
        ] {
            assert_eq!(matched(pattern, subject), expected, "{pattern} {subject}");
        }
    }

    #[test]
    fn refuses_patterns() {
        for pattern in [
            "\\d",
            "\\1",
            "a{",
            "{",
            "*",
            "a{3,2}",
            "a{,2}",
            ")",
            "(",
            "[a",
            "[]",
            "[a-c-e]",
            "[c-a]",
            "[[:foo:]]",
            "[[:w:]-a]",
            "\\",
            "^*",
            "a|*",
            "\\]",
            "[a-é]",
            "a{1",
            "a{x}",
        ] {
            assert_eq!(matched(pattern, ""), "Invalid", "{pattern}");
        }
        assert_eq!(matched("a{100000}", ""), "Space");
        assert_eq!(matched("(a{1000}){1000}", ""), "Space");
        assert_eq!(matched("a{4294967297}", ""), "Space");
        assert_eq!(matched(&"(".repeat(1_000_000), ""), "Space");
    }

    #[test]
    fn searches() {
        for (pattern, subject, expected) in [
            ("a?(ab)?", "ab", r#"[ "" [ null ] "" [ null ] "b" [ null ] "" ]"#),
            ("", "abc", r#"[ "" [ ] "a" [ ] "b" [ ] "c" [ ] "" ]"#),
            ("x*", "axxb", r#"[ "" [ ] "a" [ ] "" [ ] "b" [ ] "" ]"#),
            ("^a", "aaa", r#"[ "" [ ] "aa" ]"#),
            ("a$", "aaa", r#"[ "aa" [ ] "" ]"#),
            ("(a|ab)(c|bcd)", "abcd", r#"[ "" [ "a" "bcd" ] "" ]"#),
            ("(b*(|ba)*)+b", "bcaa", r#"[ "" [ "" "" ] "caa" ]"#),
        ] {
            assert_eq!(split(pattern, subject), expected, "{pattern} {subject}");
        }
    }

    #[test]
    fn is_linear_where_backtracking_is_exponential() {
        let subject = "a".repeat(50_000) + "b";
        for pattern in ["(a*)*c", "(a|a)*c", "(a|aa)+c", "(.*)(.*)(.*)c", "((a?)*)*c"] {
            assert_eq!(matched(pattern, &subject), "null", "{pattern}");
        }
        assert_eq!(split("(a|aa)+$", &subject), format!("[ \"{subject}\" ]"));
    }
}
