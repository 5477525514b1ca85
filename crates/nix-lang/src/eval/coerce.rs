//! Coercion to strings and paths, and what a builtin expects of its arguments.

use super::*;
use crate::data::number;
use crate::world::AddMethod;
use nix_formats::store_path::StorePath;

/// How a value is turned into a string.
#[derive(Clone, Copy)]
pub struct Coerce {
    /// Numbers, booleans, null and lists too (`toString`, derivations' environment).
    pub more: bool,
    /// A path is copied to the store and its store path stands for it.
    pub copy: bool,
    /// A path's own text, for paths only.
    what: &'static str,
}

impl Coerce {
    pub const PLUS: Coerce = Coerce { more: false, copy: true, what: "a string" };
    pub const INTERPOLATION: Coerce = Coerce { more: false, copy: true, what: "a string" };
    pub const PATH_PART: Coerce = Coerce { more: false, copy: false, what: "a string" };
    pub const STRING: Coerce = Coerce { more: false, copy: false, what: "a string" };
    pub const TO_STRING: Coerce = Coerce { more: true, copy: false, what: "a string" };
    pub const DERIVATION: Coerce = Coerce { more: true, copy: true, what: "a string" };
}

/// A string in the making: bytes and context.
///
/// What no longer fits is left out, and `finish` then fails.
pub struct StrBuf {
    pub bytes: Vec<u8>,
    context: ContextSet,
    room: usize,
    too_long: bool,
}

impl StrBuf {
    #[inline]
    pub fn new(ev: &mut Evaluator) -> StrBuf {
        StrBuf { bytes: ev.take_buffer(), context: ContextSet::default(), room: ev.arena.room(), too_long: false }
    }
    #[inline]
    pub fn push(&mut self, s: Str) {
        self.push_bytes(s.bytes());
        if let Some(context) = s.context() {
            self.context.add(context);
        }
    }
    #[inline]
    pub fn push_bytes(&mut self, bytes: &[u8]) {
        if self.bytes.len() + bytes.len() > self.room {
            self.too_long = true;
        } else {
            self.bytes.extend_from_slice(bytes);
        }
    }
    pub fn add_context(&mut self, s: Str) {
        if let Some(context) = s.context() {
            self.context.add(context);
        }
    }
    pub fn add_elem(&mut self, ev: &mut Evaluator, elem: ContextElem) {
        let id = ev.contexts.intern(elem);
        self.context.add_id(id);
    }
    pub fn add_ids(&mut self, ids: impl IntoIterator<Item = u32>) {
        for id in ids {
            self.context.add_id(id);
        }
    }
    pub fn has_context(&self) -> bool {
        !self.context.is_empty()
    }
    pub fn context_ids(&mut self) -> Vec<u32> {
        self.context.ids()
    }
    #[inline]
    pub fn finish(mut self, ev: &mut Evaluator, pos: Pos) -> R<Val> {
        if self.too_long || self.bytes.len() > self.room {
            self.discard(ev);
            return Err(ev.out_of_memory(pos));
        }
        let context = self.context.finish(&mut ev.contexts, ev.arena);
        let v = Val::string_with(ev.arena, &self.bytes, context);
        ev.give_buffer(self.bytes);
        Ok(v)
    }
    pub fn discard(self, ev: &mut Evaluator) {
        ev.give_buffer(self.bytes);
    }
}

impl Evaluator {
    /// Appends the string that a value is turned into.
    pub(crate) fn coerce_into(&mut self, v: Val, out: &mut StrBuf, how: Coerce, pos: Pos) -> R<()> {
        let v = self.force(v)?;
        match v.kind() {
            Kind::String(s) => out.push(s),
            Kind::Path(path) if how.copy => {
                let stored = self.copy_to_store(path, pos)?;
                out.push(stored.as_str().expect("a store path is a string"));
            }
            Kind::Path(path) => out.bytes.extend_from_slice(path.bytes()),
            Kind::Attrs(attrs) => {
                self.check_stack(pos)?;
                let inner = match self.attr(attrs, self.known.to_string)? {
                    Some(function) => Some(self.call(function, &[v], pos)?),
                    None => self.attr(attrs, self.known.out_path)?,
                };
                let Some(inner) = inner else { return Err(self.cannot_coerce(v, how, pos)) };
                // Counted, as a loop of sets that stand for one another may need no stack.
                self.enter_call(pos)?;
                let result = self.coerce_into(inner, out, how, pos);
                self.leave_call();
                return result;
            }
            Kind::Int(n) if how.more => {
                use std::io::Write;
                let _ = write!(out.bytes, "{n}");
            }
            Kind::Float(x) if how.more => number::write_float_fixed(&mut out.bytes, x),
            Kind::Bool(true) if how.more => out.bytes.push(b'1'),
            Kind::Bool(false) | Kind::Null if how.more => {}
            Kind::List(list) if how.more => {
                self.check_level(pos)?;
                let slots = list.slots();
                for (i, slot) in slots.iter().enumerate() {
                    let item = self.force_slot(slot, EnvRef::NULL)?;
                    if let Err(t) = self.coerce_into(item, out, how, pos) {
                        self.frame(pos, |_| "while turning an element of a list into a string".into());
                        return Err(t);
                    }
                    // An empty list leaves no blank behind it.
                    let empty = item.as_list().is_some_and(ListRef::is_empty);
                    if i + 1 < slots.len() && !empty {
                        out.bytes.push(b' ');
                    }
                }
            }
            _ => return Err(self.cannot_coerce(v, how, pos)),
        }
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn cannot_coerce(&mut self, v: Val, how: Coerce, pos: Pos) -> Thrown {
        let (what, shown) = (self.show_type(v), self.print_short(v));
        let e = Error::new(Code::Type, pos, format!("cannot coerce {what} to {}: {shown}", how.what));
        let hint = match v.kind() {
            Kind::Attrs(_) => Some("a set needs an attribute `outPath` or `__toString` for that"),
            Kind::Int(_) | Kind::Float(_) | Kind::Bool(_) | Kind::List(_) => Some("`toString` turns it into a string"),
            _ => None,
        };
        self.raise(match hint {
            Some(hint) => e.with_hint(hint),
            None => e,
        })
    }

    pub(crate) fn coerce_to_string(&mut self, v: Val, how: Coerce, pos: Pos) -> R<Str> {
        let v = self.force(v)?;
        if let Some(s) = v.as_str() {
            return Ok(s);
        }
        let mut out = StrBuf::new(self);
        match self.coerce_into(v, &mut out, how, pos) {
            Ok(()) => Ok(out.finish(self, pos)?.as_str().expect("a buffer gives a string")),
            Err(t) => {
                out.discard(self);
                Err(t)
            }
        }
    }

    /// The store path of a source file or folder, which is added to the store the first time.
    pub(crate) fn copy_to_store(&mut self, path: Str, pos: Pos) -> R<Val> {
        let bytes = path.bytes();
        if let Some(&known) = self.copied.get(bytes) {
            return Ok(known);
        }
        if bytes.ends_with(b".drv") {
            let shown = String::from_utf8_lossy(bytes).into_owned();
            return Err(self.throw(Code::InvalidArgument, pos, format!("file names are not allowed to end in '.drv': {shown}")));
        }
        let name = crate::data::path::base_name(bytes);
        let stored = match self.world.add_path(bytes, name, AddMethod::Nar, None, None) {
            Ok(stored) => stored,
            Err(e) => return Err(self.throw_world(e, pos)),
        };
        let elem = ContextElem::Path(self.parse_store_path(&stored, pos)?);
        let v = self.string_with_elem(&stored, elem);
        self.copied.insert(bytes.to_vec(), v);
        Ok(v)
    }

    pub(crate) fn parse_store_path(&mut self, path: &[u8], pos: Pos) -> R<StorePath> {
        match StorePath::parse(path, &self.settings.store_dir) {
            Ok(path) => Ok(path),
            Err(e) => Err(self.throw(Code::InvalidStorePath, pos, e.to_string())),
        }
    }

    /// A path from a path, or from a string or set that holds an absolute one. Its context is collected in `out`.
    pub(crate) fn coerce_to_path(&mut self, v: Val, out: &mut StrBuf, pos: Pos) -> R<Vec<u8>> {
        let v = self.force(v)?;
        if let Some(path) = v.as_path() {
            return Ok(path.bytes().to_vec());
        }
        let s = self.coerce_to_string(v, Coerce::STRING, pos)?;
        out.add_context(s);
        if s.bytes().first() != Some(&b'/') {
            let shown = String::from_utf8_lossy(s.bytes()).into_owned();
            let e = Error::new(Code::InvalidArgument, pos, format!("string '{shown}' doesn't represent an absolute path"));
            return Err(self.raise(e.with_hint("a path is written without quotes: `./file`")));
        }
        Ok(crate::data::path::canonicalise(s.bytes()))
    }

    // ------------------------------------------------------------ expectations

    #[inline]
    pub fn expect_attrs(&mut self, v: Val, pos: Pos) -> R<AttrsRef> {
        let v = self.force(v)?;
        match v.as_attrs() {
            Some(attrs) => Ok(attrs),
            None => Err(self.type_error(pos, "a set", v)),
        }
    }
    #[inline]
    pub fn expect_list(&mut self, v: Val, pos: Pos) -> R<ListRef> {
        let v = self.force(v)?;
        match v.as_list() {
            Some(list) => Ok(list),
            None => Err(self.type_error(pos, "a list", v)),
        }
    }
    #[inline]
    pub fn expect_string(&mut self, v: Val, pos: Pos) -> R<Str> {
        let v = self.force(v)?;
        match v.as_str() {
            Some(s) => Ok(s),
            None => Err(self.type_error(pos, "a string", v)),
        }
    }
    /// A string without context.
    pub fn expect_plain(&mut self, v: Val, pos: Pos) -> R<Str> {
        let s = self.expect_string(v, pos)?;
        self.check_no_context(s, pos)?;
        Ok(s)
    }
    #[inline]
    pub fn expect_int(&mut self, v: Val, pos: Pos) -> R<i64> {
        let v = self.force(v)?;
        match v.as_int() {
            Some(n) => Ok(n),
            None => Err(self.type_error(pos, "an integer", v)),
        }
    }
    #[inline]
    pub fn expect_bool(&mut self, v: Val, pos: Pos) -> R<bool> {
        let v = self.force(v)?;
        match v.as_bool() {
            Some(b) => Ok(b),
            None => Err(self.type_error(pos, "a Boolean", v)),
        }
    }
    /// Anything that can be called.
    pub fn expect_function(&mut self, v: Val, pos: Pos) -> R<Val> {
        let v = self.force(v)?;
        match v.kind() {
            Kind::Lambda(_) | Kind::PrimOp(_) | Kind::PrimOpApp(_) => Ok(v),
            Kind::Attrs(attrs) if attrs.find(self.known.functor).is_some() => Ok(v),
            _ => Err(self.type_error(pos, "a function", v)),
        }
    }
    /// A required attribute of a builtin's argument.
    pub fn expect_attr(&mut self, attrs: AttrsRef, sym: Sym, pos: Pos) -> R<Val> {
        match self.attr(attrs, sym)? {
            Some(v) => Ok(v),
            None => {
                let name = self.name(sym);
                Err(self.throw(Code::MissingAttribute, pos, format!("attribute '{name}' missing")))
            }
        }
    }
}
