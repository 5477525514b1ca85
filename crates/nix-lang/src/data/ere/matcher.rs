//! One match at one place, in libstdc++'s order of search.
//!
//! A repetition takes one round more whenever that leads to any match at all; of the two sides of
//! `|` both are tried and the longer wins. This order is a function of automaton state and position
//! alone. The matcher therefore backtracks directly, which is fast for ordinary patterns, and when a
//! step budget in proportion to the subject is used up it goes on with a table of results per
//! (choice, position), which makes the total work linear in subject × pattern. The two differ only
//! for loops whose body can match nothing before it tries something, as in `(|a)+`: there the table
//! may find another extent or other captures. The original needs exponential time on the patterns
//! that reach the table.
//!
//! Open decisions are frames on a stack that is bounded here, not on the call stack, and each push
//! looks at the caller's flag. Positions are 32 bits wide, which halves the frames; a subject too
//! long for that is refused.
//!
//! Where a match may begin is not decided here: the caller walks along the subject.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use super::compile::{Automaton, Op};
use super::{Captures, RegexError};

/// Open decisions of one match; at 16 bytes each this bounds the matcher to 256 MiB.
const FRAME_LIMIT: usize = 1 << 24;
/// Results per (choice, position) kept in a flat table; beyond that a hash table is used.
const DENSE_LIMIT: usize = 1 << 22;
/// And how many the hash table may hold.
const SPARSE_LIMIT: usize = 1 << 23;

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

/// One subject under one automaton; reused for the successive matches of a search.
pub(super) struct Matcher<'a> {
    pub(super) automaton: &'a Automaton,
    pub(super) subject: &'a [u8],
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
    pub(super) fn new(automaton: &'a Automaton, subject: &'a [u8], full: bool, stop: &'a AtomicBool) -> Result<Matcher<'a>, RegexError> {
        if subject.len() >= (u32::MAX - 8) as usize {
            return Err(RegexError::Space);
        }
        Ok(Matcher {
            automaton,
            subject,
            full,
            stop,
            frames: Vec::new(),
            captures: vec![UNSET; automaton.groups * 2],
            best: Vec::new(),
            best_end: NO_MATCH,
            rounds: vec![(UNSET, 0); automaton.repeats],
            budget: subject.len().saturating_mul(64).saturating_add(20_000),
            table: None,
            start_column: Vec::new(),
            not_empty_at: UNSET,
            entered: Vec::new(),
        })
    }

    /// The match that starts at `start`.
    pub(super) fn match_at(&mut self, start: usize, not_empty: bool) -> Result<Option<Captures>, RegexError> {
        self.check_stop()?;
        let start = start as u32;
        self.not_empty_at = if not_empty { start } else { UNSET };
        if self.table.is_none() {
            if let Some(found) = self.run_direct(start)? {
                return Ok(if found { Some(to_captures(&self.best)) } else { None });
            }
            let cells = (self.subject.len() + 1).saturating_mul(self.automaton.choices);
            self.table = Some(if cells <= DENSE_LIMIT { Table::Dense(vec![0; cells]) } else { Table::Sparse(HashMap::new()) });
            self.entered = vec![UNSET; self.automaton.repeats];
        }
        self.start_column.clear();
        self.start_column.resize(self.automaton.choices, 0);
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
        let (automaton, subject) = (self.automaton, self.subject);
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
                let state = &automaton.states[pc as usize];
                match state.op {
                    Op::Set(index) => {
                        match subject.get(at as usize) {
                            Some(&byte) if automaton.sets[index as usize].has(byte) => at += 1,
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
                        let body = &automaton.states[state.alt as usize];
                        if let (Op::Set(index), true) = (body.op, body.next == pc) {
                            let set = &automaton.sets[index as usize];
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
        let key = u64::from(at) * self.automaton.choices as u64 + u64::from(choice);
        self.table.as_ref().map_or(0, |table| table.get(key))
    }

    fn set_known(&mut self, choice: u32, at: u32, value: u32) -> Result<(), RegexError> {
        if at == self.not_empty_at {
            self.start_column[choice as usize] = value;
            return Ok(());
        }
        let key = u64::from(at) * self.automaton.choices as u64 + u64::from(choice);
        self.table.as_mut().map_or(Ok(()), |table| table.set(key, value))
    }

    /// Where the match from state `pc` at `at` ends, by the table of earlier results.
    fn run_table(&mut self, mut pc: u32, mut at: u32) -> Result<u32, RegexError> {
        let (automaton, subject) = (self.automaton, self.subject);
        self.frames.clear();
        'path: loop {
            let mut result = loop {
                let state = &automaton.states[pc as usize];
                match state.op {
                    Op::Set(index) => {
                        match subject.get(at as usize) {
                            Some(&byte) if automaton.sets[index as usize].has(byte) => at += 1,
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
        let automaton = self.automaton;
        let mut captures = vec![UNSET; automaton.groups * 2];
        self.entered.fill(UNSET);
        let (mut pc, mut at) = (0u32, start);
        loop {
            let state = &automaton.states[pc as usize];
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
