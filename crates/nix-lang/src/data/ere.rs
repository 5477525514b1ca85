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
//! `syntax` reads tokens and byte sets, `compile` makes the automaton from them, `matcher` finds the
//! match at one place, and this file walks along the subject. Nothing here recurses, neither in the
//! parser nor in the matcher.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::AtomicBool;

use compile::Automaton;
use matcher::Matcher;

mod compile;
mod matcher;
mod syntax;
#[cfg(test)]
mod tests;

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

/// A compiled regular expression.
pub struct Regex {
    automaton: Automaton,
}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Regex({} states, {} groups)", self.automaton.states.len(), self.automaton.groups)
    }
}

impl Regex {
    /// Compiles `pattern`.
    pub fn new(pattern: &[u8]) -> Result<Regex, RegexError> {
        Ok(Regex { automaton: Automaton::new(pattern)? })
    }

    /// How many groups the pattern has, the whole match not counted.
    pub fn groups(&self) -> usize {
        self.automaton.groups - 1
    }

    /// Matches the whole of `subject`; gives up when `stop` is set.
    pub fn match_full(&self, subject: &[u8], stop: &AtomicBool) -> Result<Option<Captures>, RegexError> {
        if let Some(first) = &self.automaton.first {
            if !subject.first().is_some_and(|&byte| first.has(byte)) {
                return Ok(None);
            }
        }
        let mut matcher = Matcher::new(&self.automaton, subject, true, stop)?;
        matcher.match_at(0, false)
    }

    /// The successive matches in `subject`, as CppNix's `split` walks over them.
    ///
    /// After an empty match a non-empty one is tried at the same place before the search goes on.
    pub fn matches<'a>(&'a self, subject: &'a [u8], stop: &'a AtomicBool) -> Result<Matches<'a>, RegexError> {
        Ok(Matches { matcher: Matcher::new(&self.automaton, subject, false, stop)?, last: None, done: false })
    }
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
            if let Some(first) = &self.matcher.automaton.first {
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
