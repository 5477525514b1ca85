//! The builtin functions.
//!
//! Each file holds one family and its table: name, arguments, which of them are evaluated before the call, and a sentence of
//! documentation. To add a builtin, write the function and its row. `install` puts all of them into the scope.

mod context;
mod control;
mod convert;
mod derivation;
mod fetch;
mod files;
mod hash;
mod lists;
mod numbers;
mod regex;
mod sets;
mod strings;
mod types;
mod versions;

use crate::eval::{AttrsBuilder, Evaluator, PrimFn, R};
use crate::source::{Origin, Pos};
use crate::symbol::FxMap;
use crate::value::{EnvRef, Val};

pub const MAX_ARITY: usize = 3;

/// The Nix release whose language this is.
pub const NIX_VERSION: &str = "2.24.0";
const LANG_VERSION: i64 = 6;

pub struct Builtin {
    pub name: &'static str,
    pub args: &'static [&'static str],
    /// Bit `i`: argument `i` is in weak head normal form when the function is called.
    pub strict: u8,
    pub function: PrimFn,
    pub doc: &'static str,
}

const fn row(name: &'static str, args: &'static [&'static str], strict: u8, function: PrimFn, doc: &'static str) -> Builtin {
    Builtin { name, args, strict, function, doc }
}

/// Those in scope under their own name; the others are there with `__` in front.
const UNPREFIXED: &[&str] = &[
    "abort",
    "baseNameOf",
    "break",
    "derivation",
    "derivationStrict",
    "dirOf",
    "fetchGit",
    "fetchTarball",
    "fromTOML",
    "import",
    "isNull",
    "map",
    "placeholder",
    "removeAttrs",
    "scopedImport",
    "throw",
    "toString",
];

/// Not seen by programs: they compute constants that are impure.
const HIDDEN: &[&str] = &["currentTime", "nixPath"];

#[derive(Clone, Copy)]
struct Entry {
    function: PrimFn,
    arity: u8,
    strict: u8,
    /// Adds no frame of its own to a trace.
    transparent: bool,
}

/// What builtins keep between calls.
#[derive(Default)]
pub struct State {
    entries: Vec<Entry>,
    rows: Vec<&'static Builtin>,
    pub(crate) regexes: FxMap<Vec<u8>, std::rc::Rc<crate::data::ere::Regex>>,
    pub(crate) derivations: derivation::Known,
}

impl State {
    #[inline(always)]
    pub(crate) fn arity(&self, id: u32) -> usize {
        self.entries[id as usize].arity as usize
    }
    #[inline(always)]
    pub(crate) fn strict(&self, id: u32) -> u8 {
        self.entries[id as usize].strict
    }
    #[inline(always)]
    pub(crate) fn function(&self, id: u32) -> PrimFn {
        self.entries[id as usize].function
    }
    pub(crate) fn is_transparent(&self, id: u32) -> bool {
        self.entries[id as usize].transparent
    }
    pub(crate) fn name(&self, id: u32) -> &'static str {
        self.rows[id as usize].name
    }
    pub fn row(&self, id: u32) -> &'static Builtin {
        self.rows[id as usize]
    }
}

/// All rows, by family.
pub fn tables() -> impl Iterator<Item = &'static Builtin> {
    [
        control::TABLE,
        types::TABLE,
        numbers::TABLE,
        lists::TABLE,
        sets::TABLE,
        strings::TABLE,
        regex::TABLE,
        versions::TABLE,
        convert::TABLE,
        hash::TABLE,
        context::TABLE,
        files::TABLE,
        derivation::TABLE,
        fetch::TABLE,
    ]
    .into_iter()
    .flatten()
}

pub(crate) use convert::write_json;

/// Where `<nix/…>` leads: files that come with the language and are on no disk.
pub(crate) const EMBEDDED_DIR: &[u8] = b"/__corepkgs__/";

pub(crate) fn embedded_file(path: &[u8]) -> Option<&'static [u8]> {
    match path.strip_prefix(EMBEDDED_DIR)? {
        b"fetchurl.nix" => Some(include_bytes!("fetchurl.nix")),
        _ => None,
    }
}

/// Whether programs cannot see the builtin.
pub fn is_hidden(name: &str) -> bool {
    HIDDEN.contains(&name)
}

/// Fills the global scope.
pub(crate) fn install(ev: &mut Evaluator) {
    let mut set = AttrsBuilder::with_capacity(160);
    let global = |ev: &mut Evaluator, set: &mut AttrsBuilder, name: &str, v: Val, plain: bool| {
        let sym = ev.symbols.intern(name.as_bytes());
        set.push(sym, v);
        let scoped = if plain { sym } else { ev.symbols.intern(format!("__{name}").as_bytes()) };
        ev.globals.insert(scoped, v);
    };
    for row in tables() {
        let id = ev.state.rows.len() as u32;
        assert!(row.args.len() <= MAX_ARITY);
        ev.state.rows.push(row);
        ev.state.entries.push(Entry {
            function: row.function,
            arity: row.args.len() as u8,
            strict: row.strict,
            transparent: matches!(row.name, "throw" | "abort" | "addErrorContext" | "seq" | "deepSeq" | "trace" | "import"),
        });
        let v = Val::prim_op(id);
        if is_hidden(row.name) {
            let computed = Val::apply_thunk(ev.arena(), v, &[Val::NULL]);
            if row.name == "nixPath" || !ev.settings.pure {
                global(ev, &mut set, row.name, computed, false);
            }
        } else {
            global(ev, &mut set, row.name, v, UNPREFIXED.contains(&row.name));
        }
    }
    for (name, v) in [("true", Val::TRUE), ("false", Val::FALSE), ("null", Val::NULL)] {
        global(ev, &mut set, name, v, true);
    }
    let store_dir = ev.string(ev.settings.store_dir.clone().as_bytes());
    global(ev, &mut set, "storeDir", store_dir, false);
    let version = ev.string(NIX_VERSION.as_bytes());
    global(ev, &mut set, "nixVersion", version, false);
    let lang = ev.int(LANG_VERSION);
    global(ev, &mut set, "langVersion", lang, false);
    if !ev.settings.pure {
        let system = ev.string(&ev.settings.system.clone());
        global(ev, &mut set, "currentSystem", system, false);
    }
    let prelude = ev.enter(|ev| {
        let expr = ev.parse(Origin::Prelude, include_bytes!("derivation.nix"), b"/", &[])?;
        Ok(Val::thunk(ev.arena(), expr, EnvRef::NULL))
    });
    let derivation = prelude.expect("the prelude parses");
    global(ev, &mut set, "derivation", derivation, true);

    // `builtins` contains itself, so it is tied to the knot through a thunk of its own.
    let knot = crate::value::ThunkRef::busy(ev.arena());
    set.push(ev.symbols.intern(b"builtins"), knot.val());
    let builtins = set.finish(ev);
    knot.finish(builtins);
    ev.builtins_set = builtins;
    let sym = ev.symbols.intern(b"builtins");
    ev.globals.insert(sym, builtins);
}

/// The position for errors about an argument: the call's.
pub(crate) type At = Pos;
pub(crate) type Args<'a> = &'a [Val];
pub(crate) type Ev = Evaluator;
pub(crate) type Res = R<Val>;
