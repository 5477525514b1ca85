//! JSON, XML and TOML.

use super::*;
use crate::data::{json, number, toml};
use crate::error::{Code, Error};
use crate::eval::{Coerce, StrBuf};
use crate::symbol::Sym;
use crate::value::{EnvRef, Kind};

pub const TABLE: &[Builtin] = &[
    row("toJSON", &["e"], 1, to_json, "The value as JSON; paths are copied to the store, derivations become their output path."),
    row("fromJSON", &["e"], 1, from_json, "The value of a JSON text."),
    row("toXML", &["e"], 1, to_xml, "The value as XML."),
    row("fromTOML", &["e"], 1, from_toml, "The value of a TOML text."),
];

fn to_json(ev: &mut Ev, args: Args, pos: At) -> Res {
    let mut out = StrBuf::new(ev);
    write_json(ev, args[0], &mut out, true, pos)?;
    out.finish(ev, pos)
}

/// Appends a value as JSON. Unless `strict`, nothing inside of it is evaluated, and what was not is an error.
pub(crate) fn write_json(ev: &mut Ev, v: Val, out: &mut StrBuf, strict: bool, pos: At) -> R<()> {
    ev.check_level(pos)?;
    let v = ev.force(v)?;
    match v.kind() {
        Kind::Int(n) => out.bytes.extend_from_slice(n.to_string().as_bytes()),
        Kind::Float(x) => number::write_float_json(&mut out.bytes, x),
        Kind::Bool(b) => out.bytes.extend_from_slice(if b { b"true" } else { b"false" }),
        Kind::Null => out.bytes.extend_from_slice(b"null"),
        Kind::String(s) => {
            out.add_context(s);
            json_string(ev, s.bytes(), out, pos)?;
        }
        Kind::Path(path) => {
            let stored = ev.copy_to_store(path, pos)?.as_str().expect("a store path is a string");
            out.add_context(stored);
            json_string(ev, stored.bytes(), out, pos)?;
        }
        Kind::List(list) => {
            out.bytes.push(b'[');
            for (i, slot) in list.slots().iter().enumerate() {
                if i > 0 {
                    out.bytes.push(b',');
                }
                check_evaluated(ev, slot.get(), strict, pos)?;
                let item = ev.force_slot(slot, EnvRef::NULL)?;
                if let Err(t) = write_json(ev, item, out, strict, pos) {
                    ev.frame(pos, |_| format!("while evaluating list element at index {i}"));
                    return Err(t);
                }
            }
            out.bytes.push(b']');
        }
        Kind::Attrs(attrs) => {
            if let Some(function) = ev.attr(attrs, ev.known.to_string)? {
                let shown = ev.call(function, &[v], pos)?;
                let s = ev.coerce_to_string(shown, Coerce::STRING, pos)?;
                out.add_context(s);
                return json_string(ev, s.bytes(), out, pos);
            }
            if let Some((flat, at)) = attrs.find(ev.known.out_path) {
                check_evaluated(ev, flat.slot(at).get(), strict, flat.shape().positions()[at as usize])?;
                let path = ev.force_slot(flat.slot(at), flat.slot_env())?;
                ev.enter_call(pos)?;
                let result = write_json(ev, path, out, strict, pos);
                ev.leave_call();
                return result;
            }
            out.bytes.push(b'{');
            let flat = ev.flatten(attrs);
            for (n, &i) in ev.alphabetical(flat).iter().enumerate() {
                if n > 0 {
                    out.bytes.push(b',');
                }
                let sym = flat.shape().syms()[i as usize];
                let at = flat.shape().positions()[i as usize];
                let name = ev.symbols.name(sym);
                json_string(ev, name, out, at)?;
                out.bytes.push(b':');
                check_evaluated(ev, flat.slot(i).get(), strict, at)?;
                let result = match ev.force_attr(flat, i) {
                    Ok(item) => write_json(ev, item, out, strict, pos),
                    Err(t) => Err(t),
                };
                if let Err(t) = result {
                    ev.frame(at, |ev| format!("while evaluating the attribute '{}'", ev.name(sym)));
                    return Err(t);
                }
            }
            out.bytes.push(b'}');
        }
        Kind::Lambda(_) | Kind::PrimOp(_) | Kind::PrimOpApp(_) | Kind::Thunk(_) => {
            let what = ev.show_type(v);
            return Err(ev.throw(Code::Type, pos, format!("cannot convert {what} to JSON")));
        }
    }
    Ok(())
}

fn check_evaluated(ev: &mut Ev, word: Val, strict: bool, pos: At) -> R<()> {
    if strict || ev.looks_evaluated(word) {
        return Ok(());
    }
    let e = Error::new(Code::Type, pos, "cannot convert a thunk to JSON");
    Err(ev.raise(e.with_hint("`--strict` evaluates all that is inside of a value")))
}

fn json_string(ev: &mut Ev, bytes: &[u8], out: &mut StrBuf, pos: At) -> R<()> {
    ev.check_room(out.bytes.len() + bytes.len(), pos)?;
    match json::write_string(&mut out.bytes, bytes) {
        Ok(()) => Ok(()),
        Err(at) => Err(ev.throw(Code::Json, pos, format!("a string that is not UTF-8 (at byte {at}) cannot be converted to JSON"))),
    }
}

/// Builds values from the reader's events.
struct Builder<'e> {
    ev: &'e mut Ev,
    open: Vec<Open>,
    done: Option<Val>,
}

enum Open {
    List(Vec<Val>),
    Set(FxMap<Sym, Val>, Sym),
}

impl Builder<'_> {
    fn put(&mut self, v: Val) -> Result<(), String> {
        match self.open.last_mut() {
            None => self.done = Some(v),
            Some(Open::List(items)) => items.push(v),
            Some(Open::Set(items, key)) => {
                items.insert(*key, v);
            }
        }
        Ok(())
    }
    fn close(&mut self) -> Result<(), String> {
        let v = match self.open.pop() {
            Some(Open::List(items)) => self.ev.list(&items),
            Some(Open::Set(items, _)) => {
                let mut set = AttrsBuilder::with_capacity(items.len());
                items.into_iter().for_each(|(sym, v)| set.push(sym, v));
                set.finish(self.ev)
            }
            None => return Err("unbalanced brackets".into()),
        };
        self.put(v)
    }
}

impl json::Sink for Builder<'_> {
    fn null(&mut self) -> Result<(), String> {
        self.put(Val::NULL)
    }
    fn boolean(&mut self, value: bool) -> Result<(), String> {
        self.put(Val::bool(value))
    }
    fn integer(&mut self, value: i64) -> Result<(), String> {
        let v = self.ev.int(value);
        self.put(v)
    }
    fn float(&mut self, value: f64) -> Result<(), String> {
        let v = self.ev.float(value);
        self.put(v)
    }
    fn string(&mut self, value: &[u8]) -> Result<(), String> {
        let v = self.ev.string(value);
        self.put(v)
    }
    fn start_array(&mut self) -> Result<(), String> {
        self.open.push(Open::List(Vec::new()));
        Ok(())
    }
    fn end_array(&mut self) -> Result<(), String> {
        self.close()
    }
    fn start_object(&mut self) -> Result<(), String> {
        self.open.push(Open::Set(FxMap::default(), Sym(0)));
        Ok(())
    }
    fn key(&mut self, name: &[u8]) -> Result<(), String> {
        let sym = self.ev.symbols.intern(name);
        if let Some(Open::Set(_, key)) = self.open.last_mut() {
            *key = sym;
        }
        Ok(())
    }
    fn end_object(&mut self) -> Result<(), String> {
        self.close()
    }
}

/// Where a byte of a text is, for people.
fn place_in(text: &[u8], offset: usize) -> String {
    let before = &text[..offset.min(text.len())];
    let line = 1 + memchr::memchr_iter(b'\n', before).count();
    let column = before.len() - memchr::memrchr(b'\n', before).map_or(0, |i| i + 1) + 1;
    format!(" at line {line}, column {column} of the text")
}

/// The value of a JSON text.
pub(crate) fn read_json(ev: &mut Ev, text: &[u8], pos: At) -> Res {
    let mut builder = Builder { ev, open: Vec::new(), done: None };
    let result = json::parse(text, &mut builder);
    match (result, builder.done) {
        (Ok(()), Some(v)) => Ok(v),
        (Ok(()), None) => Err(ev.throw(Code::Json, pos, "the JSON text is empty")),
        (Err(e), _) => Err(ev.throw(Code::Json, pos, format!("invalid JSON: {}{}", e.message, place_in(text, e.offset)))),
    }
}

fn from_json(ev: &mut Ev, args: Args, pos: At) -> Res {
    let s = ev.expect_plain(args[0], pos)?;
    read_json(ev, s.bytes(), pos)
}

fn to_xml(ev: &mut Ev, args: Args, pos: At) -> Res {
    let mut out = StrBuf::new(ev);
    let text = ev.to_xml(args[0], true, false, &mut out)?;
    out.push_bytes(&text);
    out.finish(ev, pos)
}

fn from_toml(ev: &mut Ev, args: Args, pos: At) -> Res {
    let s = ev.expect_plain(args[0], pos)?;
    match toml::parse(s.bytes()) {
        Ok(value) => toml_value(ev, value, pos),
        Err(e) => Err(ev.throw(
            Code::Toml,
            pos,
            format!("while parsing TOML: {}{}", e.message, e.offset.map_or(String::new(), |at| place_in(s.bytes(), at))),
        )),
    }
}

fn toml_value(ev: &mut Ev, value: toml::TomlValue, pos: At) -> Res {
    Ok(match value {
        toml::TomlValue::Boolean(b) => Val::bool(b),
        toml::TomlValue::Integer(n) => ev.int(n),
        toml::TomlValue::Float(x) => ev.float(x),
        toml::TomlValue::String(s) => ev.string(s.as_bytes()),
        toml::TomlValue::Timestamp(_) => return Err(ev.throw(Code::Toml, pos, format!("while parsing TOML: {}", toml::NO_DATES))),
        toml::TomlValue::Array(items) => {
            let items = items.into_iter().map(|item| toml_value(ev, item, pos)).collect::<R<Vec<Val>>>()?;
            ev.list(&items)
        }
        toml::TomlValue::Table(items) => {
            let mut set = AttrsBuilder::with_capacity(items.len());
            for (key, item) in items {
                let v = toml_value(ev, item, pos)?;
                let sym = ev.symbols.intern(key.as_bytes());
                set.push(sym, v);
            }
            set.finish(ev)
        }
    })
}
