//! The evaluator.
//!
//! It walks the tree (`expr.rs`), calls functions (`call.rs`) and forces what is lazy (here). `Evaluator` owns the arena with every node
//! and value, the symbols, the sources and the world, so two evaluators know nothing of each other, and closing one gives its memory back.
//!
//! Failure. A function that can fail gives `R<T>`; its error is a unit, `Thrown`, and the error itself waits in `Evaluator::error`. So
//! a result is one machine word, and the way without errors costs nothing. Frames of the trace are added while the error
//! passes outward.
//!
//! Depth. Native recursion mirrors the depth of the evaluation. Each step compares the stack pointer with a limit, and calls are
//! counted, so endless recursion ends in an error. `with_stack` runs work on a thread whose stack has the size that this needs.

pub mod attrs;
mod call;
mod coerce;
mod compare;
mod context;
mod expr;
mod face;
mod import;
mod print;
mod xml;

pub use attrs::AttrsBuilder;
pub use coerce::{Coerce, StrBuf};
pub use context::{ContextElem, ContextSet};
pub use print::PrintStyle;

use crate::arena::Arena;
use crate::ast::Expr;
use crate::builtins;
use crate::error::{Code, Error, Frame};
use crate::source::{Origin, Pos, SourceMap};
use crate::symbol::{FxMap, Sym, Symbols};
use crate::value::*;
use crate::world::{World, WorldError};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

/// The proof that an error waits in the evaluator.
#[derive(Debug, Clone, Copy)]
pub struct Thrown(());

pub type R<T> = Result<T, Thrown>;

/// What the evaluation depends on beside its inputs. Part of the evaluation cache's key.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Logical, as it stands in store paths: `/nix/store`.
    pub store_dir: String,
    /// `builtins.currentSystem`
    pub system: Vec<u8>,
    /// `NIX_PATH` and `-I`: `(prefix, path)`; an empty prefix is a bare folder.
    pub search_path: Vec<(Vec<u8>, Vec<u8>)>,
    /// What `~/` stands for.
    pub home: Option<Vec<u8>>,
    pub pure: bool,
    pub pipe_operators: bool,
    pub trace_verbose: bool,
    /// `builtins.warn` ends the evaluation.
    pub abort_on_warn: bool,
    pub max_call_depth: u32,
    /// Bytes that values may take, and that a text in the making may take beside them.
    pub max_memory: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            store_dir: "/nix/store".into(),
            system: b"x86_64-linux".to_vec(),
            search_path: Vec::new(),
            home: None,
            pure: false,
            pipe_operators: false,
            trace_verbose: false,
            abort_on_warn: false,
            max_call_depth: 10_000,
            max_memory: usize::MAX,
        }
    }
}

/// The stack that evaluation needs. Only what is used of it is ever touched.
pub const STACK_SIZE: usize = 192 << 20;
/// Left for the world, builtins and the unwinding of an error.
const STACK_RESERVE: usize = 2 << 20;

/// Runs `work` on a thread with a stack of `STACK_SIZE`.
pub fn with_stack<T: Send>(work: impl FnOnce() -> T + Send) -> std::io::Result<std::thread::Result<T>> {
    std::thread::scope(|scope| Ok(std::thread::Builder::new().name("nix-lang".into()).stack_size(STACK_SIZE).spawn_scoped(scope, work)?.join()))
}

macro_rules! known_symbols {
    ($($name:ident = $text:literal,)*) => {
        /// Symbols that the evaluator itself looks for.
        pub struct Known { $(pub $name: Sym,)* }
        impl Known {
            fn new(symbols: &mut Symbols) -> Known {
                Known { $($name: symbols.intern($text.as_bytes()),)* }
            }
        }
    };
}

known_symbols! {
    functor = "__functor", to_string = "__toString", overrides = "__overrides", out_path = "outPath", drv_path = "drvPath",
    type_ = "type", name = "name", value = "value", system = "system", builder = "builder", args = "args", outputs = "outputs",
    structured_attrs = "__structuredAttrs", ignore_nulls = "__ignoreNulls", output_hash = "outputHash",
    output_hash_algo = "outputHashAlgo", output_hash_mode = "outputHashMode", impure = "__impure", content_addressed = "__contentAddressed",
    right = "right", wrong = "wrong", success = "success", file = "file", line = "line", column = "column", version = "version",
    start_set = "startSet", operator = "operator", key = "key", path = "path", prefix = "prefix", filter = "filter",
    recursive = "recursive", sha256 = "sha256", all_outputs = "allOutputs", url = "url", rev = "rev", meta = "meta",
    hash = "hash", hash_algo = "hashAlgo", to_hash_format = "toHashFormat", derivation = "derivation",
    allowed_references = "allowedReferences",
}

/// A registered builtin's implementation.
pub type PrimFn = fn(&mut Evaluator, &[Val], Pos) -> R<Val>;

pub struct Evaluator {
    pub(crate) arena: &'static Arena,
    pub symbols: Symbols<'static>,
    pub sources: SourceMap,
    pub world: Box<dyn World>,
    pub settings: Settings,
    pub known: Known,
    pub(crate) error: Option<Box<Error>>,
    /// Names in the global scope.
    pub(crate) globals: FxMap<Sym, Val>,
    pub(crate) builtins_set: Val,
    pub(crate) empty_attrs: AttrsRef,
    pub(crate) empty_list: Val,
    pub(crate) empty_string: Val,
    last_name: Option<(Str, Sym)>,
    /// A string value for each symbol that was turned into one.
    pub(crate) symbol_strings: Vec<Option<Val>>,
    pub(crate) contexts: context::ContextTable,
    pub(crate) merges: attrs::MergeCache,
    pub(crate) files: FxMap<Vec<u8>, Val>,
    pub(crate) file_texts: FxMap<u32, Vec<u8>>,
    pub(crate) copied: FxMap<Vec<u8>, Val>,
    pub(crate) state: builtins::State,
    buffers: Vec<Vec<u8>>,
    stack_limit: usize,
    depth: u32,
    interrupt: Arc<AtomicBool>,
    /// Last, so that it goes when nothing points into it any more.
    _arena: OwnedArena,
}

struct OwnedArena(*mut Arena);

impl Drop for OwnedArena {
    fn drop(&mut self) {
        // SAFETY: made by `Box::into_raw` in `Evaluator::new`, and dropped with the evaluator, whose other fields are gone.
        drop(unsafe { Box::from_raw(self.0) });
    }
}

// SAFETY: an evaluator is used by one thread at a time (it is not `Sync`), and all that points into its arena moves with it.
unsafe impl Send for Evaluator {}

impl Evaluator {
    pub fn new(world: Box<dyn World>, settings: Settings) -> Evaluator {
        let interrupt = Arc::new(AtomicBool::new(false));
        let raw = Box::into_raw(Box::new(Arena::with_limit(settings.max_memory, interrupt.clone())));
        // SAFETY: the arena is freed by `_arena`, after every other field; no reference into it leaves the evaluator.
        let arena: &'static Arena = unsafe { &*raw };
        let mut symbols = Symbols::new(arena);
        let known = Known::new(&mut symbols);
        let shape = Shape::alloc(arena, std::iter::empty(), true, false);
        let mut ev = Evaluator {
            arena,
            symbols,
            sources: SourceMap::default(),
            world,
            settings,
            known,
            error: None,
            globals: FxMap::default(),
            builtins_set: Val::NULL,
            empty_attrs: Flat::alloc(arena, shape, EnvRef::NULL, 0).attrs(),
            empty_list: Val::list(ListRef::alloc(arena, 0)),
            empty_string: Val::string(arena, b""),
            last_name: None,
            symbol_strings: Vec::new(),
            contexts: context::ContextTable::default(),
            merges: attrs::MergeCache::default(),
            files: FxMap::default(),
            file_texts: FxMap::default(),
            copied: FxMap::default(),
            state: builtins::State::default(),
            buffers: Vec::new(),
            stack_limit: 0,
            depth: 0,
            interrupt,
            _arena: OwnedArena(raw),
        };
        builtins::install(&mut ev);
        ev
    }

    /// Setting it ends the evaluation with `Code::Interrupted`. (The arena sets it too, when memory is short.)
    pub fn interrupt_flag(&self) -> Arc<AtomicBool> {
        self.interrupt.clone()
    }

    /// Runs `work` with a fresh depth, on the stack of the calling thread, which must be as `with_stack` makes it.
    pub fn enter<T>(&mut self, work: impl FnOnce(&mut Evaluator) -> R<T>) -> Result<T, Box<Error>> {
        let here = stack_pointer();
        let outermost = self.stack_limit == 0;
        if outermost {
            self.stack_limit = here.saturating_sub(STACK_SIZE - STACK_RESERVE);
            self.depth = 0;
        }
        let result = work(self);
        if outermost {
            self.stack_limit = 0;
            self.depth = 0;
        }
        result.map_err(|_| self.take_error())
    }

    /// Bytes of nodes and values.
    pub fn allocated(&self) -> usize {
        self.arena.used()
    }

    pub fn arena(&self) -> &'static Arena {
        self.arena
    }

    // ------------------------------------------------------------ errors

    pub(crate) fn take_error(&mut self) -> Box<Error> {
        self.error.take().unwrap_or_else(|| Error::new(Code::Internal, Pos::NONE, "an error was lost"))
    }

    #[cold]
    #[inline(never)]
    pub fn raise(&mut self, error: Box<Error>) -> Thrown {
        self.error = Some(error);
        Thrown(())
    }

    #[cold]
    #[inline(never)]
    pub fn throw(&mut self, code: Code, pos: Pos, message: impl Into<String>) -> Thrown {
        self.raise(Error::new(code, pos, message))
    }

    #[cold]
    #[inline(never)]
    pub fn throw_world(&mut self, error: WorldError, pos: Pos) -> Thrown {
        let mut e = Error::new(error.code, pos, error.message);
        e.hint = error.hint;
        self.raise(e)
    }

    /// Adds a step to the waiting error's trace. A long trace loses its middle.
    #[cold]
    #[inline(never)]
    pub(crate) fn frame(&mut self, pos: Pos, text: impl FnOnce(&Evaluator) -> String) {
        const KEPT: usize = 512;
        if self.sources.is_prelude(pos) {
            return;
        }
        let text = text(self);
        let is_placed = self.error.as_ref().is_some_and(|error| !self.sources.is_prelude(error.pos));
        if let Some(error) = &mut self.error {
            if !is_placed {
                error.pos = pos;
            }
            if error.trace.len() >= KEPT {
                error.trace.remove(KEPT / 2);
                error.omitted += 1;
            }
            error.trace.push(Frame { pos, text });
        }
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn type_error(&mut self, pos: Pos, wanted: &str, v: Val) -> Thrown {
        let shown = self.print_short(v);
        let what = self.show_type(v);
        self.throw(Code::Type, pos, format!("expected {wanted} but found {what}: {shown}"))
    }

    #[cold]
    #[inline(never)]
    fn infinite_recursion(&mut self, pos: Pos) -> Thrown {
        self.throw(Code::InfiniteRecursion, pos, "infinite recursion encountered")
    }

    #[cold]
    #[inline(never)]
    fn stack_overflow(&mut self, pos: Pos) -> Thrown {
        let e = Error::new(Code::StackOverflow, pos, "stack overflow; the expression is nested too deeply");
        self.raise(e.with_hint("this is often an infinite recursion; the trace shows where it turns"))
    }

    // ------------------------------------------------------------ depth

    #[inline(always)]
    pub(crate) fn check_stack(&mut self, pos: Pos) -> R<()> {
        if stack_pointer() < self.stack_limit {
            return Err(self.stack_overflow(pos));
        }
        Ok(())
    }

    #[inline(always)]
    pub(crate) fn enter_call(&mut self, pos: Pos) -> R<()> {
        self.depth += 1;
        if self.depth > self.settings.max_call_depth || self.interrupt.load(Ordering::Relaxed) {
            return Err(self.call_refused(pos));
        }
        Ok(())
    }

    #[inline(always)]
    pub(crate) fn leave_call(&mut self) {
        self.depth -= 1;
    }

    #[cold]
    #[inline(never)]
    fn call_refused(&mut self, pos: Pos) -> Thrown {
        self.depth -= 1;
        if self.interrupt.load(Ordering::Relaxed) {
            return self.stopped(pos);
        }
        let limit = self.settings.max_call_depth;
        let e = Error::new(Code::StackOverflow, pos, format!("stack overflow; max-call-depth exceeded ({limit} calls)"));
        self.raise(e.with_hint("this is often an infinite recursion; `--option max-call-depth N` allows more"))
    }

    /// For loops that call no function of the program: ends them when the evaluation is to stop.
    #[inline(always)]
    pub(crate) fn poll(&mut self, pos: Pos) -> R<()> {
        if self.interrupt.load(Ordering::Relaxed) {
            return Err(self.stopped(pos));
        }
        Ok(())
    }

    /// As `poll`, for work that recurses into values.
    #[inline(always)]
    pub(crate) fn check_level(&mut self, pos: Pos) -> R<()> {
        self.check_stack(pos)?;
        self.poll(pos)
    }

    #[cold]
    #[inline(never)]
    fn stopped(&mut self, pos: Pos) -> Thrown {
        self.interrupt.store(false, Ordering::Relaxed);
        if self.arena.room() == 0 {
            return self.out_of_memory(pos);
        }
        self.throw(Code::Interrupted, pos, "interrupted")
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn out_of_memory(&mut self, pos: Pos) -> Thrown {
        let limit = self.settings.max_memory >> 20;
        let e = Error::new(Code::OutOfMemory, pos, format!("out of memory; the values take more than {limit} MiB"));
        self.raise(e.with_hint("this is often a list or string that grows without end"))
    }

    /// Asks for room before something large is made: what is allocated without asking is only noticed afterwards.
    #[inline(always)]
    pub(crate) fn check_room(&mut self, bytes: usize, pos: Pos) -> R<()> {
        const SMALL: usize = 1 << 20;
        if bytes > SMALL && bytes > self.arena.room() {
            return Err(self.out_of_memory(pos));
        }
        Ok(())
    }

    // ------------------------------------------------------------ forcing

    /// The value in weak head normal form. Never give it a slot's word: those go through `force_slot`.
    #[inline(always)]
    pub fn force(&mut self, v: Val) -> R<Val> {
        match v.as_thunk() {
            None => Ok(v),
            Some(thunk) => match thunk.value() {
                Some(v) => Ok(v),
                None => self.force_thunk(thunk),
            },
        }
    }

    #[inline(never)]
    fn force_thunk(&mut self, thunk: ThunkRef) -> R<Val> {
        match thunk.state() {
            ThunkState::Done(v) => Ok(v),
            ThunkState::Busy => Err(self.infinite_recursion(Pos::NONE)),
            ThunkState::Expr(expr, env) => {
                let before = thunk.begin();
                match self.eval(expr, env) {
                    Ok(v) => {
                        thunk.finish(v);
                        Ok(v)
                    }
                    Err(t) => {
                        thunk.undo(before);
                        self.place_recursion(expr);
                        Err(t)
                    }
                }
            }
            ThunkState::Call(function, arg) => {
                let before = thunk.begin();
                let result = self.call_lambda(function, arg, Pos::NONE);
                self.settle(thunk, before, result)
            }
            ThunkState::Apply(function, args) => {
                let before = thunk.begin();
                let result = self.call(function, args, Pos::NONE);
                self.settle(thunk, before, result)
            }
        }
    }

    fn settle(&mut self, thunk: ThunkRef, before: ThunkBefore, result: R<Val>) -> R<Val> {
        match result {
            Ok(v) => {
                thunk.finish(v);
                Ok(v)
            }
            Err(t) => {
                thunk.undo(before);
                Err(t)
            }
        }
    }

    /// An infinite recursion is found where a thunk is met again, which has no place; the first expression around it has.
    #[cold]
    #[inline(never)]
    fn place_recursion(&mut self, expr: &Expr<'static>) {
        if let Some(error) = &mut self.error {
            if error.code == Code::InfiniteRecursion && error.pos == Pos::NONE {
                error.pos = expr.pos();
            }
        }
    }

    /// The value of a slot of `env`, in weak head normal form; the slot is overwritten with it.
    #[inline(always)]
    pub(crate) fn force_slot(&mut self, slot: &'static Cell<Val>, env: EnvRef) -> R<Val> {
        let v = slot.get();
        if v.is_whnf() {
            return Ok(v);
        }
        self.force_slot_slow(slot, env)
    }

    #[inline(never)]
    fn force_slot_slow(&mut self, slot: &'static Cell<Val>, env: EnvRef) -> R<Val> {
        let word = slot.get();
        if let Some(thunk) = word.as_thunk() {
            let v = match thunk.value() {
                Some(v) => v,
                None => self.force_thunk(thunk)?,
            };
            slot.set(v);
            return Ok(v);
        }
        let Some(expr) = word.as_deferred() else {
            return Err(self.infinite_recursion(Pos::NONE));
        };
        slot.set(Val::BLACKHOLE);
        // SAFETY: a deferred word holds a node of this evaluator's arena.
        let expr: &'static Expr<'static> = unsafe { &*expr };
        match self.eval(expr, env) {
            Ok(v) => {
                // Somebody may have taken the slot lazily meanwhile (`let x = f x;`): the cell that was made then gets the value too.
                if let Some(thunk) = slot.get().as_thunk() {
                    thunk.finish(v);
                }
                slot.set(v);
                Ok(v)
            }
            Err(t) => {
                match slot.get().as_thunk() {
                    Some(thunk) => thunk.reset(expr, env),
                    None => slot.set(word),
                }
                self.place_recursion(expr);
                Err(t)
            }
        }
    }

    /// The value of a slot without computing it: what it holds, or a thunk that shares the work with the slot.
    #[inline(always)]
    pub(crate) fn lazy_slot(&mut self, slot: &'static Cell<Val>, env: EnvRef) -> Val {
        let v = slot.get();
        if v.is_whnf() {
            return v;
        }
        self.lazy_slot_slow(slot, env)
    }

    #[inline(never)]
    fn lazy_slot_slow(&mut self, slot: &'static Cell<Val>, env: EnvRef) -> Val {
        let v = slot.get();
        let lazy = match (v.as_thunk(), v.as_deferred()) {
            (Some(thunk), _) => thunk.value().unwrap_or(v),
            // SAFETY: as in `force_slot_slow`.
            (None, Some(expr)) => match unsafe { &*expr } {
                Expr::Lambda(code) => Val::lambda(self.arena, &**code, env),
                // A variable's value is shared with the variable itself, as long as that takes one step.
                Expr::Local { level, index, .. } => {
                    let outer = env.up(u32::from(*level));
                    let target = outer.slot(*index);
                    let is_variable = |v: Val| v.as_deferred().is_some_and(|e| matches!(unsafe { &*e }, Expr::Local { .. }));
                    if std::ptr::eq(target, slot) || is_variable(target.get()) {
                        Val::thunk(self.arena, expr, env)
                    } else {
                        self.lazy_slot(target, outer)
                    }
                }
                _ => Val::thunk(self.arena, expr, env),
            },
            (None, None) => ThunkRef::busy(self.arena).val(),
        };
        slot.set(lazy);
        lazy
    }

    /// The value of an expression for later: itself if it is one already, else a thunk.
    #[inline(always)]
    pub(crate) fn delay(&mut self, expr: &'static Expr<'static>, env: EnvRef) -> Val {
        match expr {
            Expr::Const(v) => *v,
            Expr::Local { level, index, .. } => {
                let env = env.up(u32::from(*level));
                self.lazy_slot(env.slot(*index), env)
            }
            Expr::Lambda(code) => Val::lambda(self.arena, &**code, env),
            Expr::Select(_) | Expr::WithVar(_) => match self.peek(expr, env) {
                Some((flat, at)) => self.lazy_slot(flat.slot(at), flat.slot_env()),
                None => Val::thunk(self.arena, expr, env),
            },
            _ => Val::thunk(self.arena, expr, env),
        }
    }

    /// Where an attribute is that can be found without evaluating anything: then no thunk is needed to find it later.
    fn peek(&mut self, expr: &'static Expr<'static>, env: EnvRef) -> Option<(Flat, u32)> {
        match expr {
            Expr::Select(e) => {
                let set = match &e.set {
                    Expr::Const(v) => *v,
                    Expr::Local { level, index, .. } => env.up(u32::from(*level)).slot(*index).get(),
                    inner => {
                        let (flat, at) = self.peek(inner, env)?;
                        flat.slot(at).get()
                    }
                };
                find_cached(done(set).as_attrs()?, e.sym, &e.cache)
            }
            Expr::WithVar(e) => {
                for &level in e.levels {
                    let set = env.up(level).slot(0).get();
                    if let Some(found) = find_cached(done(set).as_attrs()?, e.sym, &e.cache) {
                        return Some(found);
                    }
                }
                None
            }
            _ => None,
        }
    }

    /// Forces a value and all that is in it.
    pub fn force_deep(&mut self, v: Val) -> R<()> {
        let mut seen = crate::symbol::FxSet::default();
        self.force_deep_seen(v, &mut seen)
    }

    fn force_deep_seen(&mut self, v: Val, seen: &mut crate::symbol::FxSet<u64>) -> R<()> {
        self.check_level(Pos::NONE)?;
        let v = self.force(v)?;
        match v.kind() {
            Kind::Attrs(attrs) if seen.insert(v.identity()) => {
                let flat = self.flatten(attrs);
                for i in 0..flat.shape().len() as u32 {
                    let result = match self.force_slot(flat.slot(i), flat.slot_env()) {
                        Ok(item) => self.force_deep_seen(item, seen),
                        Err(t) => Err(t),
                    };
                    if let Err(t) = result {
                        let (sym, pos) = (flat.shape().syms()[i as usize], flat.shape().positions()[i as usize]);
                        self.frame(pos, |ev| format!("while evaluating the attribute '{}'", ev.name(sym)));
                        return Err(t);
                    }
                }
            }
            Kind::List(list) if seen.insert(v.identity()) => {
                for slot in list.slots() {
                    let item = self.force_slot(slot, EnvRef::NULL)?;
                    self.force_deep_seen(item, seen)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    // ------------------------------------------------------------ small things

    /// A symbol's name, for messages.
    pub fn name(&self, sym: Sym) -> String {
        String::from_utf8_lossy(self.symbols.name(sym)).into_owned()
    }

    /// The symbol of a string. Loops ask for the same one again and again (`filter (m: m ? ${name}) modules`), so the last is kept.
    #[inline]
    pub(crate) fn intern(&mut self, name: Str) -> Sym {
        match self.last_name {
            Some((last, sym)) if last == name => sym,
            _ => {
                let sym = self.symbols.intern(name.bytes());
                self.last_name = Some((name, sym));
                sym
            }
        }
    }

    /// The string value of a symbol; made once.
    pub(crate) fn symbol_string(&mut self, sym: Sym) -> Val {
        let at = sym.0 as usize;
        if at >= self.symbol_strings.len() {
            self.symbol_strings.resize(self.symbols.len(), None);
        }
        match self.symbol_strings[at] {
            Some(v) => v,
            None => {
                let v = Val::string(self.arena, self.symbols.name(sym));
                self.symbol_strings[at] = Some(v);
                v
            }
        }
    }

    pub fn string(&self, bytes: &[u8]) -> Val {
        Val::string(self.arena, bytes)
    }

    pub fn int(&self, n: i64) -> Val {
        Val::int(self.arena, n)
    }

    pub fn float(&self, x: f64) -> Val {
        Val::float(self.arena, x)
    }

    pub fn list(&self, values: &[Val]) -> Val {
        if values.is_empty() {
            return self.empty_list;
        }
        Val::list(ListRef::from_slice(self.arena, values))
    }

    /// A buffer to build bytes in; give it back with `give_buffer`.
    #[inline]
    pub(crate) fn take_buffer(&mut self) -> Vec<u8> {
        self.buffers.pop().unwrap_or_default()
    }

    #[inline]
    pub(crate) fn give_buffer(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= 1 << 20 {
            buffer.clear();
            self.buffers.push(buffer);
        }
    }

    /// `file`, `line` and `column` of a position as CppNix's `unsafeGetAttrPos` gives them, or null.
    pub(crate) fn position_value(&mut self, pos: Pos) -> Val {
        let Some(place) = self.sources.place(pos) else { return Val::NULL };
        let Origin::File(file) = &place.origin else { return Val::NULL };
        let file = self.string(file);
        let (line, column) = (self.int(i64::from(place.line)), self.int(i64::from(place.column)));
        let mut set = AttrsBuilder::with_capacity(3);
        set.push(self.known.file, file);
        set.push(self.known.line, line);
        set.push(self.known.column, column);
        set.finish(self)
    }

    /// What a value is, in words: `an integer`, `a set` …
    pub fn show_type(&self, v: Val) -> &'static str {
        match v.kind() {
            Kind::Thunk(t) => match t.value() {
                Some(v) => self.show_type(v),
                None => "a thunk",
            },
            Kind::Int(_) => "an integer",
            Kind::Float(_) => "a float",
            Kind::Bool(_) => "a Boolean",
            Kind::Null => "null",
            Kind::String(s) if s.context().is_some() => "a string with context",
            Kind::String(_) => "a string",
            Kind::Path(_) => "a path",
            Kind::Attrs(_) => "a set",
            Kind::List(_) => "a list",
            Kind::Lambda(_) => "a function",
            Kind::PrimOp(_) => "a built-in function",
            Kind::PrimOpApp(_) => "a partially applied built-in function",
        }
    }

    pub fn type_of(&self, v: Val) -> &'static str {
        match v.kind() {
            Kind::Int(_) => "int",
            Kind::Float(_) => "float",
            Kind::Bool(_) => "bool",
            Kind::Null => "null",
            Kind::String(_) => "string",
            Kind::Path(_) => "path",
            Kind::Attrs(_) => "set",
            Kind::List(_) => "list",
            _ => "lambda",
        }
    }
}

/// What a slot's word or a thunk has come to; a word that is not computed yet stays as it is.
#[inline(always)]
fn done(v: Val) -> Val {
    v.as_thunk().and_then(ThunkRef::value).unwrap_or(v)
}

/// Looks an attribute up by way of a node's cache of the shape seen last.
#[inline(always)]
pub(crate) fn find_cached(attrs: AttrsRef, sym: Sym, cache: &Cell<(*const Shape, u32)>) -> Option<(Flat, u32)> {
    let mut set = attrs;
    let flat = loop {
        match set.form() {
            AttrsForm::Flat(flat) => break flat,
            // What lies over a set is small; the cache is for the large set below.
            AttrsForm::Layered { base, over } => match over.shape().find(sym) {
                Some(at) => return Some((over, at)),
                None => set = base,
            },
        }
    };
    let (shape, at) = cache.get();
    if std::ptr::eq(shape, flat.shape()) {
        return Some((flat, at));
    }
    let at = flat.shape().find(sym)?;
    cache.set((flat.shape(), at));
    Some((flat, at))
}

#[inline(always)]
pub(crate) fn stack_pointer() -> usize {
    #[cfg(target_arch = "x86_64")]
    {
        let sp: usize;
        // SAFETY: reads a register.
        unsafe { std::arch::asm!("mov {}, rsp", out(reg) sp, options(nomem, nostack, preserves_flags)) };
        sp
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let here = 0u8;
        std::hint::black_box(&here) as *const u8 as usize
    }
}
