//! Values as XML: `builtins.toXML` and `nix-instantiate --eval --xml`.

use super::*;
use crate::data::{number, xml::write_attribute};
use std::collections::HashSet;

/// Each level is indented more, so the text's size is the square of its depth.
const DEEPEST: usize = 10_000;

struct Writer<'b> {
    out: &'b mut Vec<u8>,
    depth: usize,
    strict: bool,
    places: bool,
    drvs: HashSet<Vec<u8>>,
}

type XmlAttrs<'a> = &'a [(&'a str, &'a [u8])];

impl Writer<'_> {
    fn tag(&mut self, name: &str, attrs: XmlAttrs, end: &str) {
        self.out.resize(self.out.len() + 2 * self.depth, b' ');
        self.out.push(b'<');
        self.out.extend_from_slice(name.as_bytes());
        for (key, value) in attrs {
            self.out.push(b' ');
            self.out.extend_from_slice(key.as_bytes());
            self.out.extend_from_slice(b"=\"");
            write_attribute(self.out, value);
            self.out.push(b'"');
        }
        self.out.extend_from_slice(end.as_bytes());
        self.out.push(b'\n');
    }
    fn empty(&mut self, name: &str, attrs: XmlAttrs) {
        self.tag(name, attrs, " />");
    }
    fn open(&mut self, name: &str, attrs: XmlAttrs) {
        self.tag(name, attrs, ">");
        self.depth += 1;
    }
    fn close(&mut self, name: &str) {
        self.depth -= 1;
        self.out.resize(self.out.len() + 2 * self.depth, b' ');
        self.out.extend_from_slice(format!("</{name}>\n").as_bytes());
    }
}

impl Evaluator {
    /// The XML of a value. `strict` evaluates all of it; `places` adds where attributes and functions stand in the source.
    /// Contexts of strings are collected in `context`.
    pub fn to_xml(&mut self, v: Val, strict: bool, places: bool, context: &mut StrBuf) -> R<Vec<u8>> {
        let mut out = b"<?xml version='1.0' encoding='utf-8'?>\n".to_vec();
        let mut w = Writer { out: &mut out, depth: 0, strict, places, drvs: HashSet::new() };
        w.open("expr", &[]);
        self.xml_value(v, &mut w, context)?;
        w.close("expr");
        Ok(out)
    }

    fn xml_value(&mut self, v: Val, w: &mut Writer, context: &mut StrBuf) -> R<()> {
        self.check_level(Pos::NONE)?;
        if w.depth > DEEPEST {
            return Err(self.throw(Code::StackOverflow, Pos::NONE, "stack overflow; the value is nested too deeply for XML"));
        }
        self.check_room(w.out.len(), Pos::NONE)?;
        let v = if w.strict { self.force(v)? } else { v.as_thunk().and_then(ThunkRef::value).unwrap_or(v) };
        match v.kind() {
            Kind::Int(n) => w.empty("int", &[("value", n.to_string().as_bytes())]),
            Kind::Float(x) => {
                let mut text = Vec::new();
                number::write_float_display(&mut text, x);
                w.empty("float", &[("value", &text)]);
            }
            Kind::Bool(b) => w.empty("bool", &[("value", if b { b"true" } else { b"false" })]),
            Kind::Null => w.empty("null", &[]),
            Kind::String(s) => {
                context.add_context(s);
                w.empty("string", &[("value", s.bytes())]);
            }
            Kind::Path(path) => w.empty("path", &[("value", path.bytes())]),
            Kind::List(list) => {
                w.open("list", &[]);
                for slot in list.slots() {
                    self.xml_value(slot.get(), w, context)?;
                }
                w.close("list");
            }
            Kind::Attrs(attrs) if self.is_derivation(attrs)? => {
                let mut shown = Vec::new();
                let mut seen_now = false;
                for (key, sym) in [("drvPath", self.known.drv_path), ("outPath", self.known.out_path)] {
                    let found = match attrs.find(sym) {
                        Some((flat, i)) if w.strict => Some(self.force_attr(flat, i)?),
                        Some((flat, i)) if flat.slot(i).get().as_deferred().is_none() => Some(self.lazy_attr(flat, i)),
                        _ => None,
                    };
                    let found = found.map(|v| v.as_thunk().and_then(ThunkRef::value).unwrap_or(v));
                    if let Some(s) = found.and_then(Val::as_str) {
                        if key == "drvPath" && !s.bytes().is_empty() {
                            seen_now = w.drvs.insert(s.bytes().to_vec());
                        }
                        shown.push((key, s.bytes()));
                    }
                }
                w.open("derivation", &shown);
                if seen_now {
                    self.xml_attrs(attrs, w, context)?;
                } else {
                    w.empty("repeated", &[]);
                }
                w.close("derivation");
            }
            Kind::Attrs(attrs) => {
                w.open("attrs", &[]);
                self.xml_attrs(attrs, w, context)?;
                w.close("attrs");
            }
            Kind::Lambda(f) => {
                let code = f.code();
                let place = self.xml_place(code.pos, w);
                let place: Vec<(&str, &[u8])> = place.iter().map(|(k, v)| (*k, v.as_slice())).collect();
                w.open("function", &place);
                match &code.formals {
                    None => w.empty("varpat", &[("name", self.symbols.name(code.arg))]),
                    Some(formals) => {
                        let mut pattern: Vec<(&str, &[u8])> = Vec::new();
                        if formals.ellipsis {
                            pattern.push(("ellipsis", b"1"));
                        }
                        if code.arg != Sym(0) {
                            pattern.push(("name", self.symbols.name(code.arg)));
                        }
                        w.open("attrspat", &pattern);
                        let mut names: Vec<&[u8]> = formals.list.iter().map(|f| self.symbols.name(f.sym)).collect();
                        names.sort();
                        for name in names {
                            w.empty("attr", &[("name", name)]);
                        }
                        w.close("attrspat");
                    }
                }
                w.close("function");
            }
            _ => w.empty("unevaluated", &[]),
        }
        Ok(())
    }

    fn xml_attrs(&mut self, attrs: AttrsRef, w: &mut Writer, context: &mut StrBuf) -> R<()> {
        let flat = self.flatten(attrs);
        for &i in self.alphabetical(flat) {
            let mut shown = self.xml_place(flat.shape().positions()[i as usize], w);
            shown.push(("name", self.symbols.name(flat.shape().syms()[i as usize]).to_vec()));
            shown.sort();
            let shown: Vec<(&str, &[u8])> = shown.iter().map(|(k, v)| (*k, v.as_slice())).collect();
            w.open("attr", &shown);
            let word = flat.slot(i).get();
            if !w.strict && (word.as_deferred().is_some() || word == Val::BLACKHOLE) {
                w.empty("unevaluated", &[]);
            } else {
                let v = self.lazy_attr(flat, i);
                self.xml_value(v, w, context)?;
            }
            w.close("attr");
        }
        Ok(())
    }

    fn xml_place(&self, pos: Pos, w: &Writer) -> Vec<(&'static str, Vec<u8>)> {
        let mut shown = Vec::new();
        if let Some(place) = self.sources.place(pos).filter(|_| w.places) {
            shown.push(("column", place.column.to_string().into_bytes()));
            shown.push(("line", place.line.to_string().into_bytes()));
            if let Origin::File(file) = place.origin {
                shown.push(("path", file.into_vec()));
            }
        }
        shown
    }
}
