//! From tokens to an automaton.
//!
//! The automaton is built as libstdc++ builds its own, state by state and dummy by dummy, because
//! the number of states decides whether a pattern is refused: a bounded repetition copies its
//! operand, an alternative costs a state at its end. Only a complete automaton within the limit has its
//! dummies and unreachable states taken out; what is left does the same in fewer steps.
//!
//! Open groups are kept on a stack of their own, so that no depth of parentheses can exhaust the
//! call stack. After `simplify` every `Repeat` and `Or` has a number by which a matcher can keep
//! records about it, and no `Dummy` is left.
//!
//! The automaton says nothing of how it is searched: that `Repeat` prefers another round and `Or`
//! the longer side is the matcher's business.

use std::collections::HashMap;

use super::syntax::{ByteSet, Scanner, Token};
use super::RegexError;

/// The number of automaton states at which libstdc++ refuses a pattern.
const STATE_LIMIT: usize = 100_000;
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
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
pub(super) struct State {
    pub(super) op: Op,
    pub(super) next: u32,
    pub(super) alt: u32,
}

impl State {
    fn has_alt(&self) -> bool {
        matches!(self.op, Op::Or(_) | Op::Repeat(_))
    }
}

/// What a pattern compiles to; it starts at state 0.
pub(super) struct Automaton {
    pub(super) states: Vec<State>,
    pub(super) sets: Vec<ByteSet>,
    /// The groups, the whole match counted as the first.
    pub(super) groups: usize,
    /// Repetitions are numbered from 0, the other choices after them.
    pub(super) repeats: usize,
    pub(super) choices: usize,
    /// The bytes a match can begin with; `None` if it can be empty or begins with an anchor.
    pub(super) first: Option<ByteSet>,
}

impl Automaton {
    pub(super) fn new(pattern: &[u8]) -> Result<Automaton, RegexError> {
        let mut compiler = Compiler { scanner: Scanner::new(pattern), states: Vec::new(), sets: Vec::new() };
        let groups = compiler.compile()? as usize;
        let (states, repeats, choices) = simplify(&compiler.states);
        let mut automaton = Automaton { states, sets: compiler.sets, groups, repeats, choices, first: None };
        automaton.first = automaton.first_bytes();
        Ok(automaton)
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
                    let set = self.scanner.read_bracket(negated)?;
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
