//! Regular expressions.

use super::*;
use crate::data::ere::{Regex, RegexError};
use crate::error::Code;
use std::rc::Rc;

pub const TABLE: &[Builtin] = &[
    row("match", &["regex", "str"], 3, match_, "The groups of a POSIX extended regular expression that matches the whole string, or null."),
    row("split", &["regex", "str"], 3, split, "The parts of the string between matches, and between them lists of the groups."),
];

fn compiled(ev: &mut Ev, v: Val, pos: At) -> R<Rc<Regex>> {
    let pattern = ev.expect_plain(v, pos)?.bytes();
    if let Some(known) = ev.state.regexes.get(pattern) {
        return Ok(known.clone());
    }
    match Regex::new(pattern) {
        Ok(regex) => {
            let regex = Rc::new(regex);
            ev.state.regexes.insert(pattern.to_vec(), regex.clone());
            Ok(regex)
        }
        Err(e) => Err(refused(ev, e, pattern, pos)),
    }
}

fn refused(ev: &mut Ev, e: RegexError, pattern: &[u8], pos: At) -> crate::eval::Thrown {
    let pattern = String::from_utf8_lossy(pattern).into_owned();
    match e {
        RegexError::Invalid => ev.throw(Code::Regex, pos, format!("invalid regular expression '{pattern}'")),
        RegexError::Stopped => match ev.poll(pos) {
            Err(t) => t,
            Ok(()) => ev.throw(Code::Interrupted, pos, "interrupted"),
        },
        RegexError::Space => ev.throw(Code::Regex, pos, format!("memory limit exceeded by regular expression '{pattern}'")),
    }
}

fn groups(ev: &mut Ev, subject: &[u8], captures: &[Option<std::ops::Range<usize>>]) -> Val {
    let groups: Vec<Val> = captures[1..]
        .iter()
        .map(|g| match g {
            Some(range) => ev.string(&subject[range.clone()]),
            None => Val::NULL,
        })
        .collect();
    ev.list(&groups)
}

fn match_(ev: &mut Ev, args: Args, pos: At) -> Res {
    let regex = compiled(ev, args[0], pos)?;
    let s = ev.expect_string(args[1], pos)?;
    match regex.match_full(s.bytes(), &ev.interrupt_flag()) {
        Ok(Some(captures)) => Ok(groups(ev, s.bytes(), &captures)),
        Ok(None) => Ok(Val::NULL),
        Err(e) => Err(refused(ev, e, s.bytes(), pos)),
    }
}

fn split(ev: &mut Ev, args: Args, pos: At) -> Res {
    let regex = compiled(ev, args[0], pos)?;
    let s = ev.expect_string(args[1], pos)?;
    let subject = s.bytes();
    let mut parts = Vec::new();
    let mut from = 0;
    let stop = ev.interrupt_flag();
    let matches = match regex.matches(subject, &stop) {
        Ok(matches) => matches,
        Err(e) => return Err(refused(ev, e, subject, pos)),
    };
    for found in matches {
        ev.poll(pos)?;
        let captures = match found {
            Ok(captures) => captures,
            Err(e) => return Err(refused(ev, e, subject, pos)),
        };
        let whole = captures[0].clone().unwrap_or(from..from);
        parts.push(ev.string(&subject[from..whole.start]));
        parts.push(groups(ev, subject, &captures));
        from = whole.end;
    }
    if parts.is_empty() {
        return Ok(ev.list(&[s.val()]));
    }
    parts.push(ev.string(&subject[from..]));
    Ok(ev.list(&parts))
}
