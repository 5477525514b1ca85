//! Strings.

use super::*;
use crate::error::Code;
use crate::eval::{Coerce, StrBuf};
use crate::value::EnvRef;

pub const TABLE: &[Builtin] = &[
    row("toString", &["e"], 1, to_string, "Turns `e` into a string; numbers, Booleans, null and lists too."),
    row("stringLength", &["e"], 1, string_length, "The length in bytes."),
    row(
        "substring",
        &["start", "len", "s"],
        3,
        substring,
        "The part of `s` from byte `start`, at most `len` bytes; all the rest if `len` is negative.",
    ),
    row("concatStringsSep", &["separator", "list"], 3, concat_strings_sep, "Joins strings with a separator."),
    row(
        "replaceStrings",
        &["from", "to", "s"],
        3,
        replace_strings,
        "Replaces each string of `from` that is found in `s` by the one at its place in `to`.",
    ),
    row("baseNameOf", &["s"], 1, base_name_of, "What follows the last slash."),
    row("dirOf", &["s"], 1, dir_of, "What precedes the last slash."),
];

fn to_string(ev: &mut Ev, args: Args, pos: At) -> Res {
    Ok(ev.coerce_to_string(args[0], Coerce::TO_STRING, pos)?.val())
}

fn string_length(ev: &mut Ev, args: Args, pos: At) -> Res {
    let s = ev.coerce_to_string(args[0], Coerce::INTERPOLATION, pos)?;
    Ok(ev.int(s.bytes().len() as i64))
}

fn substring(ev: &mut Ev, args: Args, pos: At) -> Res {
    let start = ev.expect_int(args[0], pos)?;
    if start < 0 {
        return Err(ev.throw(Code::InvalidArgument, pos, "negative start position in 'substring'"));
    }
    let len = ev.expect_int(args[1], pos)?;
    let s = ev.coerce_to_string(args[2], Coerce::INTERPOLATION, pos)?;
    let bytes = s.bytes();
    let from = usize::try_from(start).unwrap_or(usize::MAX).min(bytes.len());
    let to = if len < 0 { bytes.len() } else { from.saturating_add(len as usize).min(bytes.len()) };
    if (from, to) == (0, bytes.len()) {
        return Ok(s.val());
    }
    Ok(Val::string_with(ev.arena(), &bytes[from..to], s.context()))
}

fn concat_strings_sep(ev: &mut Ev, args: Args, pos: At) -> Res {
    let separator = ev.expect_string(args[0], pos)?;
    let list = ev.expect_list(args[1], pos)?;
    let mut out = StrBuf::new(ev);
    // The separator's context counts even if it is never written.
    out.add_context(separator);
    for (i, slot) in list.slots().iter().enumerate() {
        if i > 0 {
            out.push_bytes(separator.bytes());
        }
        ev.poll(pos)?;
        let item = ev.force_slot(slot, EnvRef::NULL)?;
        match item.as_str() {
            Some(s) => out.push(s),
            None => ev.coerce_into(item, &mut out, Coerce::INTERPOLATION, pos)?,
        }
    }
    out.finish(ev, pos)
}

fn replace_strings(ev: &mut Ev, args: Args, pos: At) -> Res {
    let from = ev.expect_list(args[0], pos)?;
    let to = ev.expect_list(args[1], pos)?;
    if from.len() != to.len() {
        return Err(ev.throw(Code::InvalidArgument, pos, "'from' and 'to' arguments passed to builtins.replaceStrings have different lengths"));
    }
    let mut patterns = Vec::with_capacity(from.len());
    for slot in from.slots() {
        let v = ev.force_slot(slot, EnvRef::NULL)?;
        patterns.push(ev.expect_string(v, pos)?.bytes());
    }
    let s = ev.expect_string(args[2], pos)?;
    let text = s.bytes();
    let mut out = StrBuf::new(ev);
    out.add_context(s);
    let mut at = 0;
    while at <= text.len() {
        ev.poll(pos)?;
        // An empty pattern matches before every byte and at the end.
        let hit = patterns.iter().position(|p| text[at..].starts_with(p));
        match hit {
            Some(i) => {
                // Replacements are looked at only when they are needed.
                let v = ev.force_slot(&to.slots()[i], EnvRef::NULL)?;
                let replacement = ev.expect_string(v, pos)?;
                out.push(replacement);
                if patterns[i].is_empty() {
                    out.bytes.extend(text.get(at));
                    at += 1;
                } else {
                    at += patterns[i].len();
                }
            }
            None => {
                out.bytes.extend(text.get(at));
                at += 1;
            }
        }
    }
    out.finish(ev, pos)
}

fn base_name_of(ev: &mut Ev, args: Args, pos: At) -> Res {
    let s = ev.coerce_to_string(args[0], Coerce::STRING, pos)?;
    Ok(Val::string_with(ev.arena(), crate::data::path::base_name(s.bytes()), s.context()))
}

fn dir_of(ev: &mut Ev, args: Args, pos: At) -> Res {
    if let Some(path) = args[0].as_path() {
        return Ok(Val::path(ev.arena(), crate::data::path::dir_of_path(path.bytes())));
    }
    let s = ev.coerce_to_string(args[0], Coerce::STRING, pos)?;
    Ok(Val::string_with(ev.arena(), crate::data::path::dir_of_string(s.bytes()), s.context()))
}
