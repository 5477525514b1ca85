//! Values: one tagged machine word each, pointing into the evaluator's arena.
//!
//! The three low bits tell what a word is:
//!
//! | tag | meaning |
//! |---|---|
//! | 0 | a thunk: a two-word cell, computed when first needed and then overwritten by its value |
//! | 1 | an integer of 61 bits |
//! | 2 | null, true, false, a builtin function; in slots also "not computed yet" and "being computed" |
//! | 3 | a string, its context beside it |
//! | 4 | an attribute set |
//! | 5 | a list |
//! | 6 | a function written in Nix |
//! | 7 | anything rarer: a float, a large integer, a path, a partly applied builtin |
//!
//! **Slots.** An environment and an attribute set hold their values in slots. A slot may hold `deferred(expr)`: the expression is to
//! be evaluated in the environment that the slot belongs to. So a set of ten thousand attributes costs one word for each until
//! one is needed. A deferred word never leaves its slot: who wants the value forces the slot, who wants it lazily
//! turns it into a thunk first, in place, so that the work is still shared.
//!
//! **Memory.** Objects are never freed one by one; the arena goes when the evaluator is closed. That is faster than a collector and, since the
//! objects are small, takes less memory than one at the sizes that systems have. All pointers here point into that arena,
//! which is why the unsafe code of the crate is confined to this module and the evaluator: whoever holds a `Val` holds the evaluator.

use crate::arena::Arena;
use crate::ast::{Expr, Lambda};
use crate::source::Pos;
use crate::symbol::Sym;
use std::cell::Cell;
use std::num::NonZeroU64;
use std::ptr::NonNull;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct Val(NonZeroU64);

const TAG_MASK: u64 = 7;
const TAG_THUNK: u64 = 0;
const TAG_INT: u64 = 1;
const TAG_MISC: u64 = 2;
const TAG_STR: u64 = 3;
const TAG_ATTRS: u64 = 4;
const TAG_LIST: u64 = 5;
const TAG_LAMBDA: u64 = 6;
const TAG_BOXED: u64 = 7;

const fn misc(sub: u64, payload: u64) -> Val {
    match NonZeroU64::new(payload << 8 | sub << 3 | TAG_MISC) {
        Some(w) => Val(w),
        None => unreachable!(),
    }
}
const SUB_NULL: u64 = 0;
const SUB_FALSE: u64 = 1;
const SUB_TRUE: u64 = 2;
const SUB_PRIMOP: u64 = 3;
const SUB_DEFERRED: u64 = 4;
const SUB_BLACKHOLE: u64 = 5;

/// A value in weak head normal form, or a thunk, taken apart.
#[derive(Clone, Copy)]
pub enum Kind {
    Thunk(ThunkRef),
    Int(i64),
    Float(f64),
    Bool(bool),
    Null,
    String(Str),
    Path(Str),
    Attrs(AttrsRef),
    List(ListRef),
    Lambda(LambdaRef),
    PrimOp(u32),
    PrimOpApp(PrimOpApp),
}

impl Val {
    pub const NULL: Val = misc(SUB_NULL, 0);
    pub const FALSE: Val = misc(SUB_FALSE, 0);
    pub const TRUE: Val = misc(SUB_TRUE, 0);
    pub const BLACKHOLE: Val = misc(SUB_BLACKHOLE, 0);

    #[inline(always)]
    fn word(self) -> u64 {
        self.0.get()
    }
    #[inline(always)]
    fn tag(self) -> u64 {
        self.word() & TAG_MASK
    }
    #[inline(always)]
    fn from_word(word: u64) -> Val {
        debug_assert!(word != 0);
        // SAFETY: every constructor sets a tag bit or a non-null pointer.
        Val(unsafe { NonZeroU64::new_unchecked(word) })
    }
    #[inline(always)]
    fn from_ptr<T>(ptr: *const T, tag: u64) -> Val {
        debug_assert!(ptr as u64 & TAG_MASK == 0);
        Val::from_word(ptr as u64 | tag)
    }
    #[inline(always)]
    fn ptr<T>(self) -> *mut T {
        (self.word() & !TAG_MASK) as *mut T
    }

    #[inline(always)]
    pub fn is_thunk(self) -> bool {
        self.tag() == TAG_THUNK
    }
    #[inline(always)]
    pub fn bool(b: bool) -> Val {
        if b {
            Val::TRUE
        } else {
            Val::FALSE
        }
    }
    #[inline(always)]
    pub fn as_bool(self) -> Option<bool> {
        if self == Val::TRUE {
            Some(true)
        } else if self == Val::FALSE {
            Some(false)
        } else {
            None
        }
    }
    #[inline(always)]
    pub fn int(arena: &Arena, n: i64) -> Val {
        if n << 3 >> 3 == n {
            Val::from_word((n as u64) << 3 | TAG_INT)
        } else {
            Val::boxed(arena, BOX_INT, n as u64)
        }
    }
    #[inline(always)]
    pub fn as_int(self) -> Option<i64> {
        if self.tag() == TAG_INT {
            return Some(self.word() as i64 >> 3);
        }
        match self.kind() {
            Kind::Int(n) => Some(n),
            _ => None,
        }
    }
    /// Both are integers of 61 bits.
    #[inline(always)]
    pub fn both_small_ints(a: Val, b: Val) -> Option<(i64, i64)> {
        (a.tag() == TAG_INT && b.tag() == TAG_INT).then(|| (a.word() as i64 >> 3, b.word() as i64 >> 3))
    }
    pub fn float(arena: &Arena, x: f64) -> Val {
        Val::boxed(arena, BOX_FLOAT, x.to_bits())
    }
    fn boxed(arena: &Arena, kind: u64, payload: u64) -> Val {
        Val::from_ptr(arena.alloc([kind, payload]), TAG_BOXED)
    }
    #[inline(always)]
    pub fn prim_op(id: u32) -> Val {
        misc(SUB_PRIMOP, u64::from(id))
    }
    pub fn prim_op_app(arena: &Arena, id: u32, args: &[Val]) -> Val {
        // SAFETY: words are allocated for the header and each argument and all are written.
        unsafe {
            let words = arena.alloc_words(2 + args.len());
            *words = BOX_PRIM_OP_APP;
            *words.add(1) = u64::from(id) << 32 | args.len() as u64;
            std::ptr::copy_nonoverlapping(args.as_ptr() as *const u64, words.add(2), args.len());
            Val::from_ptr(words, TAG_BOXED)
        }
    }
    /// A string without context.
    #[inline]
    pub fn string(arena: &Arena, bytes: &[u8]) -> Val {
        Str::alloc(arena, bytes, None).val()
    }
    pub fn string_with(arena: &Arena, bytes: &[u8], context: Option<Context>) -> Val {
        Str::alloc(arena, bytes, context).val()
    }
    pub fn path(arena: &Arena, bytes: &[u8]) -> Val {
        let text = Str::alloc(arena, bytes, None);
        Val::boxed(arena, BOX_PATH, text.0.as_ptr() as u64)
    }
    #[inline(always)]
    pub fn list(list: ListRef) -> Val {
        Val::from_ptr(list.0.as_ptr(), TAG_LIST)
    }
    #[inline(always)]
    pub fn attrs(attrs: AttrsRef) -> Val {
        Val::from_ptr(attrs.0.as_ptr(), TAG_ATTRS)
    }
    #[inline(always)]
    pub fn lambda(arena: &Arena, code: *const Lambda<'static>, env: EnvRef) -> Val {
        Val::from_ptr(arena.alloc((code, env)), TAG_LAMBDA)
    }
    #[inline(always)]
    pub fn thunk(arena: &Arena, expr: *const Expr<'static>, env: EnvRef) -> Val {
        Val::from_ptr(arena.alloc([expr as u64, env.0 as u64]), TAG_THUNK)
    }
    /// The lazy application of a function to arguments.
    pub fn apply_thunk(arena: &Arena, function: Val, args: &[Val]) -> Val {
        if let ([arg], TAG_LAMBDA) = (args, function.tag()) {
            return Val::from_ptr(arena.alloc([function.word(), arg.word()]), TAG_THUNK);
        }
        // SAFETY: as in `prim_op_app`.
        unsafe {
            let app = arena.alloc_words(2 + args.len());
            *app = function.word();
            *app.add(1) = args.len() as u64;
            std::ptr::copy_nonoverlapping(args.as_ptr() as *const u64, app.add(2), args.len());
            Val::from_ptr(arena.alloc([app as u64 | THUNK_APPLY, 0]), TAG_THUNK)
        }
    }

    /// A slot's word for "evaluate this in the slot's own environment".
    #[inline(always)]
    pub fn deferred(expr: *const Expr<'static>) -> Val {
        misc(SUB_DEFERRED, expr as u64)
    }
    #[inline(always)]
    pub fn as_deferred(self) -> Option<*const Expr<'static>> {
        if self.word() & 0xff == SUB_DEFERRED << 3 | TAG_MISC {
            Some((self.word() >> 8) as *const Expr<'static>)
        } else {
            None
        }
    }
    /// Whether the word is an ordinary value in weak head normal form (no thunk, not deferred, not being computed).
    #[inline(always)]
    pub fn is_whnf(self) -> bool {
        let w = self.word();
        w & TAG_MASK != TAG_THUNK && !(w & TAG_MASK == TAG_MISC && (w >> 3 & 31) >= SUB_DEFERRED)
    }

    #[inline(always)]
    pub fn as_str(self) -> Option<Str> {
        (self.tag() == TAG_STR).then(|| Str(self.non_null()))
    }
    #[inline(always)]
    pub fn as_attrs(self) -> Option<AttrsRef> {
        (self.tag() == TAG_ATTRS).then(|| AttrsRef(self.non_null()))
    }
    #[inline(always)]
    pub fn as_list(self) -> Option<ListRef> {
        (self.tag() == TAG_LIST).then(|| ListRef(self.non_null()))
    }
    #[inline(always)]
    pub fn as_lambda(self) -> Option<LambdaRef> {
        (self.tag() == TAG_LAMBDA).then(|| LambdaRef(self.non_null()))
    }
    #[inline(always)]
    pub fn as_thunk(self) -> Option<ThunkRef> {
        (self.tag() == TAG_THUNK).then(|| ThunkRef(self.non_null()))
    }
    #[inline(always)]
    pub fn as_prim_op(self) -> Option<u32> {
        if self.word() & 0xff == SUB_PRIMOP << 3 | TAG_MISC {
            Some((self.word() >> 8) as u32)
        } else {
            None
        }
    }
    pub fn as_path(self) -> Option<Str> {
        match self.kind() {
            Kind::Path(p) => Some(p),
            _ => None,
        }
    }
    #[inline(always)]
    fn non_null<T>(self) -> NonNull<T> {
        // SAFETY: pointer-tagged words are made from non-null pointers only.
        unsafe { NonNull::new_unchecked(self.ptr()) }
    }

    pub fn kind(self) -> Kind {
        let w = self.word();
        match w & TAG_MASK {
            TAG_THUNK => Kind::Thunk(ThunkRef(self.non_null())),
            TAG_INT => Kind::Int(w as i64 >> 3),
            TAG_STR => Kind::String(Str(self.non_null())),
            TAG_ATTRS => Kind::Attrs(AttrsRef(self.non_null())),
            TAG_LIST => Kind::List(ListRef(self.non_null())),
            TAG_LAMBDA => Kind::Lambda(LambdaRef(self.non_null())),
            TAG_BOXED => {
                let p: *const u64 = self.ptr();
                // SAFETY: boxed words point to a kind and at least one more word.
                let (kind, payload) = unsafe { (*p, *p.add(1)) };
                match kind {
                    BOX_FLOAT => Kind::Float(f64::from_bits(payload)),
                    BOX_INT => Kind::Int(payload as i64),
                    // SAFETY: made from a non-null string pointer.
                    BOX_PATH => Kind::Path(Str(unsafe { NonNull::new_unchecked(payload as *mut u64) })),
                    _ => Kind::PrimOpApp(PrimOpApp(self.non_null())),
                }
            }
            _ => match w >> 3 & 31 {
                SUB_NULL => Kind::Null,
                SUB_FALSE => Kind::Bool(false),
                SUB_TRUE => Kind::Bool(true),
                SUB_PRIMOP => Kind::PrimOp((w >> 8) as u32),
                _ => unreachable!("a slot's private word left its slot"),
            },
        }
    }

    /// An identity for cycle detection and pointer equality.
    pub fn identity(self) -> u64 {
        self.word()
    }
}

const BOX_FLOAT: u64 = 0;
const BOX_INT: u64 = 1;
const BOX_PATH: u64 = 2;
const BOX_PRIM_OP_APP: u64 = 3;

// ---------------------------------------------------------------- strings

/// A string: `[length | has-context bit] [context]? bytes…`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Str(NonNull<u64>);

const HAS_CONTEXT: u64 = 1 << 63;

impl Str {
    pub fn alloc(arena: &Arena, bytes: &[u8], context: Option<Context>) -> Str {
        Str::alloc_parts(arena, bytes.len(), context, |out| {
            // SAFETY: `out` has room for `bytes.len()` bytes.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), out, bytes.len()) }
        })
    }

    /// Allocates `len` bytes and has `fill` write all of them.
    #[inline]
    pub fn alloc_parts(arena: &Arena, len: usize, context: Option<Context>, fill: impl FnOnce(*mut u8)) -> Str {
        let header = 1 + usize::from(context.is_some());
        let words = arena.alloc_words(header + len.div_ceil(8));
        // SAFETY: room for header and bytes was allocated.
        unsafe {
            *words = len as u64;
            if let Some(context) = context {
                *words |= HAS_CONTEXT;
                *words.add(1) = context.0.as_ptr() as u64;
            }
            fill(words.add(header) as *mut u8);
            Str(NonNull::new_unchecked(words))
        }
    }

    #[inline(always)]
    pub fn val(self) -> Val {
        Val::from_ptr(self.0.as_ptr(), TAG_STR)
    }

    #[inline(always)]
    pub fn bytes(self) -> &'static [u8] {
        // SAFETY: laid out by `alloc_parts`. The lifetime is the arena's; see the module's essay.
        unsafe {
            let head = *self.0.as_ptr();
            let skip = 1 + (head >> 63) as usize;
            std::slice::from_raw_parts(self.0.as_ptr().add(skip) as *const u8, (head & !HAS_CONTEXT) as usize)
        }
    }

    #[inline(always)]
    pub fn context(self) -> Option<Context> {
        // SAFETY: as above.
        unsafe {
            if *self.0.as_ptr() & HAS_CONTEXT == 0 {
                None
            } else {
                Some(Context(NonNull::new_unchecked(*self.0.as_ptr().add(1) as *mut u64)))
            }
        }
    }
}

/// A string's context: a sorted, non-empty set of numbers of context elements (the evaluator's table holds them).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Context(NonNull<u64>);

impl Context {
    /// `ids` is sorted and not empty.
    pub fn alloc(arena: &Arena, ids: &[u32]) -> Context {
        debug_assert!(!ids.is_empty() && ids.windows(2).all(|w| w[0] < w[1]));
        let words = arena.alloc_words(1 + ids.len().div_ceil(2));
        // SAFETY: room for the length and the ids was allocated.
        unsafe {
            *words = ids.len() as u64;
            std::ptr::copy_nonoverlapping(ids.as_ptr(), words.add(1) as *mut u32, ids.len());
            Context(NonNull::new_unchecked(words))
        }
    }
    pub fn ids(self) -> &'static [u32] {
        // SAFETY: laid out by `alloc`.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().add(1) as *const u32, *self.0.as_ptr() as usize) }
    }
}

// ---------------------------------------------------------------- lists

/// A list: `[length] values…`; each value or thunk.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ListRef(NonNull<u64>);

impl ListRef {
    /// The slots are to be written before the list is read.
    #[inline(always)]
    pub fn alloc(arena: &Arena, len: usize) -> ListRef {
        let words = arena.alloc_words(1 + len);
        // SAFETY: at least one word was allocated.
        unsafe {
            *words = len as u64;
            ListRef(NonNull::new_unchecked(words))
        }
    }
    pub fn from_slice(arena: &Arena, values: &[Val]) -> ListRef {
        let list = ListRef::alloc(arena, values.len());
        // SAFETY: the list has room for the values.
        unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), list.0.as_ptr().add(1) as *mut Val, values.len()) };
        list
    }
    #[inline(always)]
    pub fn len(self) -> usize {
        // SAFETY: laid out by `alloc`.
        unsafe { *self.0.as_ptr() as usize }
    }
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
    #[inline(always)]
    pub fn slots(self) -> &'static [Cell<Val>] {
        // SAFETY: laid out by `alloc`; `Cell` makes writing through the shared slice sound within the one thread that evaluates.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().add(1) as *const Cell<Val>, self.len()) }
    }
    #[inline(always)]
    pub fn set(self, i: usize, v: Val) {
        debug_assert!(i < self.len());
        // SAFETY: `i` is in bounds. The slot may be unwritten, so no reference to it is made.
        unsafe { *(self.0.as_ptr().add(1 + i) as *mut Val) = v }
    }
}

// ---------------------------------------------------------------- environments

/// An environment: `[outer] slots…`. Null is the outermost.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct EnvRef(*mut u64);

impl EnvRef {
    pub const NULL: EnvRef = EnvRef(std::ptr::null_mut());

    #[inline(always)]
    pub fn alloc(arena: &Arena, up: EnvRef, len: usize) -> EnvRef {
        let words = arena.alloc_words(1 + len);
        // SAFETY: at least one word was allocated.
        unsafe { *words = up.0 as u64 };
        EnvRef(words)
    }
    #[inline(always)]
    pub fn up(self, levels: u32) -> EnvRef {
        let mut env = self;
        for _ in 0..levels {
            // SAFETY: binding counted the levels.
            env = EnvRef(unsafe { *env.0 } as *mut u64);
        }
        env
    }
    /// Frees the environment if nothing has been allocated since it was made: then nothing can refer to it.
    #[inline(always)]
    pub(crate) fn take_back(self, arena: &Arena, len: usize) {
        arena.take_back(self.0, 1 + len);
    }
    /// A slot that is written already.
    #[inline(always)]
    pub fn slot(self, index: u32) -> &'static Cell<Val> {
        // SAFETY: binding numbered the slots.
        unsafe { &*(self.0.add(1 + index as usize) as *const Cell<Val>) }
    }
    #[inline(always)]
    pub fn set(self, index: usize, v: Val) {
        // SAFETY: the caller is inside the length that it allocated.
        unsafe { *(self.0.add(1 + index) as *mut Val) = v }
    }
    /// Copies the first slots from a template.
    #[inline(always)]
    pub(crate) fn fill(self, template: *const Val, len: usize) {
        // SAFETY: template and environment have `len` slots.
        unsafe { std::ptr::copy_nonoverlapping(template, self.0.add(1) as *mut Val, len) }
    }
}

// ---------------------------------------------------------------- functions

#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LambdaRef(NonNull<(*const Lambda<'static>, EnvRef)>);

impl LambdaRef {
    #[inline(always)]
    pub fn code(self) -> &'static Lambda<'static> {
        // SAFETY: made by `Val::lambda` from a node of the same arena.
        unsafe { &*(*self.0.as_ptr()).0 }
    }
    #[inline(always)]
    pub fn env(self) -> EnvRef {
        // SAFETY: as above.
        unsafe { (*self.0.as_ptr()).1 }
    }
}

/// A builtin with some of its arguments: `[kind] [id << 32 | count] args…`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PrimOpApp(NonNull<u64>);

impl PrimOpApp {
    pub fn id(self) -> u32 {
        // SAFETY: laid out by `Val::prim_op_app`.
        unsafe { (*self.0.as_ptr().add(1) >> 32) as u32 }
    }
    pub fn args(self) -> &'static [Val] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().add(2) as *const Val, (*self.0.as_ptr().add(1) & 0xffff_ffff) as usize) }
    }
}

// ---------------------------------------------------------------- thunks

/// A thunk's cell: `[expr] [env]`, `[lambda | 6] [argument]`, `[application | 2] [_]`, `[1] [value]` or `[3] [_]` (being computed).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ThunkRef(NonNull<u64>);

const THUNK_DONE: u64 = 1;
const THUNK_APPLY: u64 = 2;
const THUNK_BUSY: u64 = 3;

pub enum ThunkState {
    Done(Val),
    Busy,
    Expr(&'static Expr<'static>, EnvRef),
    Apply(Val, &'static [Val]),
    Call(LambdaRef, Val),
}

/// What a thunk was before it was marked busy, to put it back after an error.
#[derive(Clone, Copy)]
pub struct ThunkBefore(u64, u64);

impl ThunkRef {
    #[inline(always)]
    pub fn value(self) -> Option<Val> {
        // SAFETY: a thunk has two words.
        unsafe { (*self.0.as_ptr() == THUNK_DONE).then(|| Val::from_word(*self.0.as_ptr().add(1))) }
    }
    #[inline(always)]
    pub fn state(self) -> ThunkState {
        // SAFETY: the first word tells what the cell holds; the constructors and setters here keep that true.
        unsafe {
            let (a, b) = (*self.0.as_ptr(), *self.0.as_ptr().add(1));
            match a & TAG_MASK {
                0 => ThunkState::Expr(&*(a as *const Expr<'static>), EnvRef(b as *mut u64)),
                THUNK_DONE => ThunkState::Done(Val::from_word(b)),
                THUNK_APPLY => {
                    let app = (a & !TAG_MASK) as *const u64;
                    ThunkState::Apply(Val::from_word(*app), std::slice::from_raw_parts(app.add(2) as *const Val, *app.add(1) as usize))
                }
                TAG_LAMBDA => ThunkState::Call(LambdaRef(Val::from_word(a).non_null()), Val::from_word(b)),
                _ => ThunkState::Busy,
            }
        }
    }
    /// A thunk that somebody else is computing and will finish.
    pub fn busy(arena: &Arena) -> ThunkRef {
        ThunkRef(NonNull::from(arena.alloc([THUNK_BUSY, 0])).cast())
    }
    /// Makes the cell compute `expr` in `env` (again).
    pub fn reset(self, expr: *const Expr<'static>, env: EnvRef) {
        // SAFETY: a thunk has two words.
        unsafe {
            *self.0.as_ptr() = expr as u64;
            *self.0.as_ptr().add(1) = env.0 as u64;
        }
    }
    #[inline(always)]
    pub fn begin(self) -> ThunkBefore {
        // SAFETY: a thunk has two words.
        unsafe {
            let before = ThunkBefore(*self.0.as_ptr(), *self.0.as_ptr().add(1));
            *self.0.as_ptr() = THUNK_BUSY;
            before
        }
    }
    #[inline(always)]
    pub fn finish(self, v: Val) {
        // SAFETY: as above.
        unsafe {
            *self.0.as_ptr() = THUNK_DONE;
            *self.0.as_ptr().add(1) = v.word();
        }
    }
    #[inline(always)]
    pub fn undo(self, before: ThunkBefore) {
        // SAFETY: as above.
        unsafe {
            *self.0.as_ptr() = before.0;
            *self.0.as_ptr().add(1) = before.1;
        }
    }
    #[inline(always)]
    pub fn val(self) -> Val {
        Val::from_ptr(self.0.as_ptr(), TAG_THUNK)
    }
}

// ---------------------------------------------------------------- attribute sets

/// The names of an attribute set, sorted by symbol, with the position of each. Shared by all sets made at one place.
#[repr(C)]
#[derive(Debug)]
pub struct Shape {
    len: u32,
    /// A shape that recurs (of a literal, or derived from such): worth remembering.
    pub stable: bool,
    /// The set is its own environment: deferred slots are evaluated inside it.
    pub rec: bool,
    syms: *const Sym,
    positions: *const Pos,
    /// Indices in alphabetical order, once asked for.
    order: Cell<*const u32>,
}

impl Shape {
    /// `names` is sorted by symbol, without duplicates.
    pub fn alloc(arena: &Arena, names: impl ExactSizeIterator<Item = (Sym, Pos)> + Clone, stable: bool, rec: bool) -> &Shape {
        let syms = arena.alloc_slice_fill_iter(names.clone().map(|n| n.0));
        let positions = arena.alloc_slice_fill_iter(names.map(|n| n.1));
        debug_assert!(syms.windows(2).all(|w| w[0] < w[1]));
        arena.alloc(Shape {
            len: syms.len() as u32,
            stable,
            rec,
            syms: syms.as_ptr(),
            positions: positions.as_ptr(),
            order: Cell::new(std::ptr::null()),
        })
    }
    /// The same names, nowhere in a source.
    pub fn bare<'a>(&self, arena: &'a Arena) -> &'a Shape {
        static NOWHERE: [Pos; 64] = [Pos::NONE; 64];
        let positions = match NOWHERE.get(..self.len()) {
            Some(positions) => positions,
            None => arena.alloc_slice_fill_iter((0..self.len).map(|_| Pos::NONE)),
        };
        arena.alloc(Shape {
            len: self.len,
            stable: self.stable,
            rec: false,
            syms: self.syms,
            positions: positions.as_ptr(),
            order: Cell::new(self.order.get()),
        })
    }
    #[inline(always)]
    pub fn len(&self) -> usize {
        self.len as usize
    }
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
    #[inline(always)]
    pub fn syms(&self) -> &'static [Sym] {
        // SAFETY: laid out by `alloc`; the arena outlives every shape's user.
        unsafe { std::slice::from_raw_parts(self.syms, self.len as usize) }
    }
    #[inline(always)]
    pub fn positions(&self) -> &'static [Pos] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts(self.positions, self.len as usize) }
    }
    #[inline]
    pub fn find(&self, sym: Sym) -> Option<u32> {
        let syms = self.syms();
        if syms.len() <= 8 {
            return syms.iter().position(|&s| s == sym).map(|i| i as u32);
        }
        syms.binary_search(&sym).ok().map(|i| i as u32)
    }
    /// Indices in the alphabetical order of the names; `name` reads a symbol.
    pub fn order<'n>(&self, arena: &Arena, name: impl Fn(Sym) -> &'n [u8]) -> &'static [u32] {
        if self.order.get().is_null() {
            let order = arena.alloc_slice_fill_iter(0..self.len);
            let syms = self.syms();
            order.sort_by(|&a, &b| name(syms[a as usize]).cmp(name(syms[b as usize])));
            self.order.set(order.as_ptr());
        }
        // SAFETY: laid out just now or before.
        unsafe { std::slice::from_raw_parts(self.order.get(), self.len as usize) }
    }
}

/// An attribute set: `[shape] [outer env] slots…`, or two sets laid over one another: `[1] [count << 32 | layers] [base] [over] [flat or 0]`.
///
/// Laying a small set over a large one (`pkgs // { … }`) costs five words; whoever must walk the whole makes it flat, once.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AttrsRef(NonNull<u64>);

/// A set's attributes in one array.
#[derive(Clone, Copy)]
pub struct Flat(NonNull<u64>);

pub enum AttrsForm {
    Flat(Flat),
    Layered { base: AttrsRef, over: Flat },
}

impl AttrsRef {
    #[inline(always)]
    pub fn form(self) -> AttrsForm {
        // SAFETY: laid out by `Flat::alloc` or `layered`.
        unsafe {
            if *self.0.as_ptr() != 1 {
                return AttrsForm::Flat(Flat(self.0));
            }
            let flat = *self.0.as_ptr().add(4) as *mut u64;
            if let Some(flat) = NonNull::new(flat) {
                return AttrsForm::Flat(Flat(flat));
            }
            AttrsForm::Layered {
                base: AttrsRef(NonNull::new_unchecked(*self.0.as_ptr().add(2) as *mut u64)),
                over: Flat(NonNull::new_unchecked(*self.0.as_ptr().add(3) as *mut u64)),
            }
        }
    }
    pub fn layered(arena: &Arena, base: AttrsRef, over: Flat, len: usize, layers: usize) -> AttrsRef {
        let words = arena.alloc_words(5);
        // SAFETY: five words were allocated.
        unsafe {
            *words = 1;
            *words.add(1) = (len as u64) << 32 | layers as u64;
            *words.add(2) = base.0.as_ptr() as u64;
            *words.add(3) = over.0.as_ptr() as u64;
            *words.add(4) = 0;
            AttrsRef(NonNull::new_unchecked(words))
        }
    }
    /// How many layers lie over the innermost set.
    pub fn layers(self) -> usize {
        match self.form() {
            AttrsForm::Flat(_) => 0,
            // SAFETY: a layered set has the word.
            AttrsForm::Layered { .. } => unsafe { (*self.0.as_ptr().add(1) & 0xffff_ffff) as usize },
        }
    }
    /// Remembers the flat form of a layered set.
    pub fn set_flat(self, flat: Flat) {
        // SAFETY: only called on layered sets, which have five words.
        unsafe {
            debug_assert!(*self.0.as_ptr() == 1);
            *self.0.as_ptr().add(4) = flat.0.as_ptr() as u64;
        }
    }
    #[inline(always)]
    pub fn len(self) -> usize {
        match self.form() {
            AttrsForm::Flat(flat) => flat.shape().len(),
            // SAFETY: as in `layers`.
            AttrsForm::Layered { .. } => unsafe { (*self.0.as_ptr().add(1) >> 32) as usize },
        }
    }
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
    pub fn identity(self) -> usize {
        self.0.as_ptr() as usize
    }
}

impl Flat {
    /// The slots (`len`, at least the shape's length) are to be written before they are read.
    #[inline(always)]
    pub fn alloc(arena: &Arena, shape: &Shape, up: EnvRef, len: usize) -> Flat {
        debug_assert!(len >= shape.len());
        let words = arena.alloc_words(2 + len);
        // SAFETY: two words and the slots were allocated.
        unsafe {
            *words = shape as *const Shape as u64;
            *words.add(1) = up.0 as u64;
            Flat(NonNull::new_unchecked(words))
        }
    }
    #[inline(always)]
    pub fn attrs(self) -> AttrsRef {
        AttrsRef(self.0)
    }
    #[inline(always)]
    pub fn shape(self) -> &'static Shape {
        // SAFETY: the first word is the shape.
        unsafe { &*(*self.0.as_ptr() as *const Shape) }
    }
    /// The set as an environment (of a `rec` set).
    #[inline(always)]
    pub fn as_env(self) -> EnvRef {
        // SAFETY: the second word is the outer environment and the slots follow it, which is an environment's layout.
        EnvRef(unsafe { self.0.as_ptr().add(1) })
    }
    /// The environment in which deferred slots are evaluated.
    #[inline(always)]
    pub fn slot_env(self) -> EnvRef {
        if self.shape().rec {
            self.as_env()
        } else {
            // SAFETY: as above.
            EnvRef(unsafe { *self.0.as_ptr().add(1) } as *mut u64)
        }
    }
    #[inline(always)]
    pub fn slot(self, i: u32) -> &'static Cell<Val> {
        // SAFETY: indices come from the shape.
        unsafe { &*(self.0.as_ptr().add(2 + i as usize) as *const Cell<Val>) }
    }
    #[inline(always)]
    pub fn set(self, i: usize, v: Val) {
        // SAFETY: as above; the slot may be unwritten.
        unsafe { *(self.0.as_ptr().add(2 + i) as *mut Val) = v }
    }
}
