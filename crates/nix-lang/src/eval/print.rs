//! Values as text, in Nix's own notation.

use super::*;
use crate::data::literal::{write_name, write_string};
use crate::data::number;
use crate::source::PRELUDE;
use crate::symbol::FxSet;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum PrintStyle {
    /// What `nix-instantiate --eval --strict` prints: one line; thunks as `<CODE>`, functions as `<LAMBDA>`; what is met again as
    /// `«repeated»`.
    Plain,
    /// The same of a value that was not evaluated throughout: functions and empty sets, which are values here as soon as they are
    /// written down but thunks in CppNix, count as not evaluated yet.
    Lazy,
    /// For people: indented, attribute names quoted where they must be, functions with their place, derivations by their path.
    Pretty,
}

/// What was printed already.
struct Seen {
    sets: FxSet<u64>,
    lists: FxSet<u64>,
    lazy: bool,
}

impl Evaluator {
    /// Prints a value as far as it is evaluated. Fails where it is too deep or the text too long.
    pub fn print(&mut self, v: Val, style: PrintStyle) -> R<Vec<u8>> {
        let mut out = Vec::new();
        match style {
            PrintStyle::Plain | PrintStyle::Lazy => {
                self.print_plain(v, &mut out, &mut Seen { sets: FxSet::default(), lists: FxSet::default(), lazy: style == PrintStyle::Lazy }, true)?
            }
            PrintStyle::Pretty => self.print_pretty(v, &mut out, &mut Vec::new(), 0)?,
        }
        Ok(out)
    }

    fn print_plain(&mut self, v: Val, out: &mut Vec<u8>, seen: &mut Seen, outermost: bool) -> R<()> {
        // CppNix tells lists apart by where they are kept; of the outermost it has a copy.
        let kept = if v.as_thunk().is_some() { Some(v.identity()) } else { None };
        let v = v.as_thunk().and_then(ThunkRef::value).unwrap_or(v);
        self.check_level(Pos::NONE)?;
        self.check_room(out.len(), Pos::NONE)?;
        match v.kind() {
            Kind::Attrs(attrs) => {
                if !attrs.is_empty() && !seen.sets.insert(v.identity()) {
                    out.extend_from_slice("«repeated»".as_bytes());
                    return Ok(());
                }
                out.extend_from_slice(b"{ ");
                let flat = self.flatten(attrs);
                for &i in self.alphabetical(flat) {
                    write_name(out, self.symbols.name(flat.shape().syms()[i as usize]));
                    out.extend_from_slice(b" = ");
                    self.print_slot(variable(flat, i), out, seen)?;
                    out.extend_from_slice(b"; ");
                }
                out.push(b'}');
            }
            Kind::List(list) => {
                if !list.is_empty() && !outermost && !seen.lists.insert(kept.unwrap_or(v.identity())) {
                    out.extend_from_slice("«repeated»".as_bytes());
                    return Ok(());
                }
                out.extend_from_slice(b"[ ");
                for slot in list.slots() {
                    self.print_slot(slot.get(), out, seen)?;
                    out.push(b' ');
                }
                out.push(b']');
            }
            Kind::Path(path) => out.extend_from_slice(path.bytes()),
            Kind::Thunk(_) => out.extend_from_slice(b"<CODE>"),
            Kind::Lambda(_) => out.extend_from_slice(b"<LAMBDA>"),
            Kind::PrimOp(_) => out.extend_from_slice(b"<PRIMOP>"),
            Kind::PrimOpApp(_) => out.extend_from_slice(b"<PRIMOP-APP>"),
            _ => self.print_scalar(v, out),
        }
        Ok(())
    }

    fn print_slot(&mut self, word: Val, out: &mut Vec<u8>, seen: &mut Seen) -> R<()> {
        if word == Val::BLACKHOLE {
            out.extend_from_slice("«potential infinite recursion»".as_bytes());
        } else if word.as_deferred().is_some() || seen.lazy && !self.looks_evaluated(word) {
            out.extend_from_slice(b"<CODE>");
        } else {
            self.print_plain(word, out, seen, false)?;
        }
        Ok(())
    }

    /// Whether a slot's value counts as evaluated where nothing is: functions and empty sets do not, see [`PrintStyle::Lazy`].
    pub(crate) fn looks_evaluated(&self, word: Val) -> bool {
        match word.as_thunk() {
            Some(thunk) => thunk.value().is_some(),
            None => word.is_whnf() && word.as_lambda().is_none() && !word.as_attrs().is_some_and(AttrsRef::is_empty),
        }
    }

    fn print_scalar(&self, v: Val, out: &mut Vec<u8>) {
        match v.kind() {
            Kind::Int(n) => out.extend_from_slice(n.to_string().as_bytes()),
            Kind::Float(x) => number::write_float_display(out, x),
            Kind::Bool(b) => out.extend_from_slice(if b { b"true" } else { b"false" }),
            Kind::Null => out.extend_from_slice(b"null"),
            Kind::String(s) => write_string(out, s.bytes()),
            _ => {}
        }
    }

    fn print_pretty(&mut self, v: Val, out: &mut Vec<u8>, above: &mut Vec<u64>, depth: usize) -> R<()> {
        let v = v.as_thunk().and_then(ThunkRef::value).unwrap_or(v);
        if depth > 500 {
            out.extend_from_slice("«…»".as_bytes());
            return Ok(());
        }
        if matches!(v.kind(), Kind::Attrs(_) | Kind::List(_)) {
            self.check_level(Pos::NONE)?;
            self.check_room(out.len(), Pos::NONE)?;
        }
        let indent = |out: &mut Vec<u8>, depth: usize| {
            out.push(b'\n');
            out.resize(out.len() + 2 * depth, b' ');
        };
        match v.kind() {
            Kind::Attrs(_) | Kind::List(_) if above.contains(&v.identity()) => out.extend_from_slice("«repeated»".as_bytes()),
            Kind::Attrs(attrs) => {
                let flat = self.flatten(attrs);
                if flat.shape().is_empty() {
                    out.extend_from_slice(b"{ }");
                    return Ok(());
                }
                let known = |ev: &Evaluator, sym: Sym| {
                    flat.shape().find(sym).and_then(|i| settled(flat.slot(i).get()).as_str()).filter(|_| !ev.symbols.is_empty())
                };
                if known(self, self.known.type_).is_some_and(|s| s.bytes() == b"derivation") {
                    let (drv_path, set) = (self.known.drv_path, Val::attrs(attrs));
                    let path = self.enter(|ev| {
                        let attrs = ev.expect_attrs(set, Pos::NONE)?;
                        Ok(ev.attr(attrs, drv_path)?.and_then(|v| v.as_str()))
                    });
                    out.extend_from_slice("«derivation ".as_bytes());
                    match path {
                        Ok(Some(path)) => out.extend_from_slice(path.bytes()),
                        _ => out.extend_from_slice(b"???"),
                    }
                    out.extend_from_slice("»".as_bytes());
                    return Ok(());
                }
                above.push(v.identity());
                let single = flat.shape().len() == 1 && is_scalar(settled(flat.slot(0).get()));
                out.push(b'{');
                for &i in self.alphabetical(flat) {
                    if single {
                        out.push(b' ');
                    } else {
                        indent(out, depth + 1);
                    }
                    write_name(out, self.symbols.name(flat.shape().syms()[i as usize]));
                    out.extend_from_slice(b" = ");
                    self.print_pretty_slot(flat.slot(i).get(), out, above, depth)?;
                    out.push(b';');
                }
                if single {
                    out.push(b' ');
                } else {
                    indent(out, depth);
                }
                out.push(b'}');
                above.pop();
            }
            Kind::List(list) => {
                if list.is_empty() {
                    out.extend_from_slice(b"[ ]");
                    return Ok(());
                }
                above.push(v.identity());
                let single = list.len() == 1 && is_scalar(settled(list.slots()[0].get()));
                out.push(b'[');
                for slot in list.slots() {
                    if single {
                        out.push(b' ');
                    } else {
                        indent(out, depth + 1);
                    }
                    self.print_pretty_slot(slot.get(), out, above, depth)?;
                }
                if single {
                    out.push(b' ');
                } else {
                    indent(out, depth);
                }
                out.push(b']');
                above.pop();
            }
            Kind::Path(path) => out.extend_from_slice(path.bytes()),
            Kind::Thunk(_) => out.extend_from_slice("«thunk»".as_bytes()),
            Kind::Lambda(f) => {
                let code = f.code();
                out.extend_from_slice("«lambda".as_bytes());
                if code.name.get() != Sym(0) {
                    out.push(b' ');
                    out.extend_from_slice(self.symbols.name(code.name.get()));
                }
                if let Some(place) = self.sources.place(code.pos) {
                    out.extend_from_slice(b" @ ");
                    match &place.origin {
                        Origin::File(file) => out.extend_from_slice(file),
                        Origin::Stdin(_) => out.extend_from_slice("«stdin»".as_bytes()),
                        Origin::String(_) => out.extend_from_slice("«string»".as_bytes()),
                        Origin::Prelude => out.extend_from_slice(PRELUDE.as_bytes()),
                    }
                    out.extend_from_slice(format!(":{}:{}", place.line, place.column).as_bytes());
                }
                out.extend_from_slice("»".as_bytes());
            }
            Kind::PrimOp(id) => out.extend_from_slice(format!("«primop {}»", self.state.name(id)).as_bytes()),
            Kind::PrimOpApp(app) => out.extend_from_slice(format!("«partially applied primop {}»", self.state.name(app.id())).as_bytes()),
            _ => self.print_scalar(v, out),
        }
        Ok(())
    }

    fn print_pretty_slot(&mut self, word: Val, out: &mut Vec<u8>, above: &mut Vec<u64>, depth: usize) -> R<()> {
        if word == Val::BLACKHOLE || word.as_deferred().is_some() {
            out.extend_from_slice("«thunk»".as_bytes());
        } else {
            self.print_pretty(word, out, above, depth + 1)?;
        }
        Ok(())
    }

    /// A value in a few words, for messages. Nothing is evaluated.
    pub(crate) fn print_short(&mut self, v: Val) -> String {
        const LONGEST: usize = 100;
        let mut out = Vec::new();
        self.print_short_into(v, &mut out, 0);
        let mut text = String::from_utf8_lossy(&out).into_owned();
        if text.len() > LONGEST {
            let cut = (0..=LONGEST).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
            text.truncate(cut);
            text.push('…');
        }
        text
    }

    fn print_short_into(&mut self, v: Val, out: &mut Vec<u8>, depth: usize) {
        if v == Val::BLACKHOLE || v.as_deferred().is_some() {
            out.extend_from_slice("«thunk»".as_bytes());
            return;
        }
        let v = v.as_thunk().and_then(ThunkRef::value).unwrap_or(v);
        if out.len() > 200 {
            return;
        }
        match v.kind() {
            Kind::Attrs(attrs) if attrs.is_empty() => out.extend_from_slice(b"{ }"),
            Kind::Attrs(_) | Kind::List(_) if depth > 1 => out.extend_from_slice("…".as_bytes()),
            Kind::Attrs(attrs) => {
                let flat = self.flatten(attrs);
                out.push(b'{');
                for &i in self.alphabetical(flat).iter().take(8) {
                    out.push(b' ');
                    write_name(out, self.symbols.name(flat.shape().syms()[i as usize]));
                    out.extend_from_slice(b" = ");
                    self.print_short_into(flat.slot(i).get(), out, depth + 1);
                    out.push(b';');
                }
                out.extend_from_slice(if flat.shape().len() > 8 { " … }".as_bytes() } else { b" }" });
            }
            Kind::List(list) => {
                out.push(b'[');
                for slot in list.slots().iter().take(8) {
                    out.push(b' ');
                    self.print_short_into(slot.get(), out, depth + 1);
                }
                out.extend_from_slice(if list.len() > 8 { " … ]".as_bytes() } else { b" ]" });
            }
            Kind::String(s) if s.bytes().len() > 80 => {
                write_string(out, &s.bytes()[..80]);
                out.extend_from_slice("…".as_bytes());
            }
            // Of what is no set and no list this does not fail.
            _ => drop(self.print_pretty(v, out, &mut Vec::new(), 0)),
        }
    }
}

/// A slot's word if it is a value that can be looked at, else null.
fn settled(word: Val) -> Val {
    match word.as_thunk() {
        Some(thunk) => thunk.value().unwrap_or(Val::NULL),
        None if word.is_whnf() => word,
        None => Val::NULL,
    }
}

fn is_scalar(v: Val) -> bool {
    !matches!(v.kind(), Kind::Attrs(_) | Kind::List(_))
}

/// What a slot holds; where that is nothing but a variable of a scope around the set, the variable's own value, which may have been
/// evaluated since.
fn variable(flat: Flat, i: u32) -> Val {
    let word = flat.slot(i).get();
    // SAFETY: expressions live as long as the evaluator.
    match word.as_deferred().map(|expr| unsafe { &*expr }) {
        Some(Expr::Local { level, index, .. }) if *level > 0 || !flat.shape().rec => flat.slot_env().up(u32::from(*level)).slot(*index).get(),
        _ => word,
    }
}
