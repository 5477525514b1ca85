//! The syntax tree that the evaluator walks.
//!
//! An `Expr` is 16 bytes: a tag and either small data or a reference to its node. All nodes live in the evaluator's arena and die with
//! it. The parser builds the tree with `Expr::Name` for every variable; binding (`scope.rs`) then replaces each in place by
//! where its value is found. After binding the tree does not change, save for the evaluator's caches.
//!
//! Environments. Every construct that binds names opens one level: an environment is a link to the outer one and an array of slots.
//! - a lambda: slot 0 is the argument if it has a name (`x:` or `@`), then the formals, sorted by symbol;
//! - `let`: the names sorted by symbol, then one hidden slot for each `inherit (e)` clause;
//! - `rec { }`: as `let`; the attribute set itself is the environment. Dynamic attributes are not in scope;
//! - a plain set with `inherit (e)` clauses: only the hidden slots (a plain set without them opens no level);
//! - `with`: one slot, the set.
//!
//! The value of an inherited name (`inherit x;`) is bound in the scope around the construct, yet written, like every value of the
//! construct, to be evaluated inside it (one level deeper). `inherit (e) x;` becomes a `Select` of `x` from the hidden slot.

use crate::source::Pos;
use crate::symbol::Sym;
use crate::value::{Shape, Val};
use std::cell::Cell;

#[derive(Debug)]
pub enum Expr<'a> {
    /// A literal, or a global (a builtin) that no scope hides.
    Const(Val),
    /// A variable that is not bound yet. None are left after binding.
    Name {
        sym: Sym,
        pos: Pos,
    },
    /// The slot `index` of the environment `level` steps outward (0 is the innermost).
    Local {
        level: u16,
        index: u32,
        sym: Sym,
        pos: Pos,
    },
    /// A variable that only `with` can give.
    WithVar(&'a mut WithVar<'a>),
    Select(&'a mut Select<'a>),
    SelectPath(&'a mut SelectPath<'a>),
    HasAttr(&'a mut HasAttr<'a>),
    Attrs(&'a mut Attrs<'a>),
    List(&'a mut List<'a>),
    Lambda(&'a mut Lambda<'a>),
    Call(&'a mut Call<'a>),
    Let(&'a mut Let<'a>),
    With(&'a mut With<'a>),
    If(&'a mut If<'a>),
    Assert(&'a mut Assert<'a>),
    Not(&'a mut Unary<'a>),
    Binary(&'a mut Binary<'a>),
    Interp(&'a mut Interp<'a>),
    /// `__curPos`
    CurPos(Pos),
}

#[derive(Debug)]
pub struct WithVar<'a> {
    pub sym: Sym,
    pub pos: Pos,
    /// How many levels outward each enclosing `with` is, innermost first.
    pub levels: &'a [u32],
    /// The evaluator's: as in `Select`.
    pub cache: Cell<(*const Shape, u32)>,
}

/// `e.name`, static and without `or`. A longer static path is nested ones.
#[derive(Debug)]
pub struct Select<'a> {
    pub pos: Pos,
    pub sym: Sym,
    pub set: Expr<'a>,
    /// The evaluator's: the shape seen last and the place of the attribute in it.
    pub cache: Cell<(*const Shape, u32)>,
}

/// `e.a.${b} or default`: any path that has a default or a dynamic name.
#[derive(Debug)]
pub struct SelectPath<'a> {
    pub pos: Pos,
    pub set: Expr<'a>,
    pub path: &'a mut [AttrName<'a>],
    pub default: Option<Expr<'a>>,
}

#[derive(Debug)]
pub struct HasAttr<'a> {
    pub pos: Pos,
    pub set: Expr<'a>,
    pub path: &'a mut [AttrName<'a>],
}

#[derive(Debug)]
pub enum AttrName<'a> {
    Static(Sym, Pos),
    Dynamic(Pos, Expr<'a>),
}

#[derive(Debug)]
pub struct Attrs<'a> {
    pub pos: Pos,
    pub rec: bool,
    /// The static names, sorted by symbol, with the position of each.
    pub shape: &'a Shape,
    /// A value for each name of the shape, then the `inherit (e)` sources.
    pub values: &'a mut [Expr<'a>],
    pub dynamics: &'a mut [DynAttr<'a>],
    /// The evaluator's: the initial slots.
    pub template: Cell<*const Val>,
}

impl Attrs<'_> {
    /// How many `inherit (e)` sources there are.
    pub fn sources(&self) -> usize {
        self.values.len() - self.shape.len()
    }
}

#[derive(Debug)]
pub struct DynAttr<'a> {
    pub pos: Pos,
    pub name: Expr<'a>,
    pub value: Expr<'a>,
}

#[derive(Debug)]
pub struct List<'a> {
    pub items: &'a mut [Expr<'a>],
}

#[derive(Debug)]
pub struct Lambda<'a> {
    pub pos: Pos,
    /// The name it was first bound to, for messages; `Sym(0)` if none.
    pub name: Cell<Sym>,
    /// `x` of `x:`, `{ … }@x:`; `Sym(0)` if none.
    pub arg: Sym,
    pub formals: Option<Formals<'a>>,
    pub body: Expr<'a>,
}

impl Lambda<'_> {
    /// How many slots the environment of a call has.
    #[inline(always)]
    pub fn env_len(&self) -> usize {
        match &self.formals {
            None => 1,
            Some(formals) => usize::from(self.arg != Sym(0)) + formals.list.len(),
        }
    }
}

#[derive(Debug)]
pub struct Formals<'a> {
    pub ellipsis: bool,
    /// Sorted by symbol.
    pub list: &'a mut [Formal<'a>],
}

#[derive(Debug)]
pub struct Formal<'a> {
    pub sym: Sym,
    pub pos: Pos,
    pub default: Option<Expr<'a>>,
}

/// A function and all arguments written one after the other.
#[derive(Debug)]
pub struct Call<'a> {
    pub pos: Pos,
    pub function: Expr<'a>,
    pub args: &'a mut [Expr<'a>],
}

#[derive(Debug)]
pub struct Let<'a> {
    /// Sorted by symbol.
    pub names: &'a [(Sym, Pos)],
    /// A value for each name, then the `inherit (e)` sources.
    pub values: &'a mut [Expr<'a>],
    pub body: Expr<'a>,
    /// The evaluator's: the initial slots.
    pub template: Cell<*const Val>,
}

#[derive(Debug)]
pub struct With<'a> {
    pub pos: Pos,
    pub set: Expr<'a>,
    pub body: Expr<'a>,
}

#[derive(Debug)]
pub struct If<'a> {
    pub pos: Pos,
    pub cond: Expr<'a>,
    pub then: Expr<'a>,
    pub otherwise: Expr<'a>,
}

#[derive(Debug)]
pub struct Assert<'a> {
    pub pos: Pos,
    /// The condition as it stands in the source, for the message.
    pub text: &'a [u8],
    pub cond: Expr<'a>,
    pub body: Expr<'a>,
}

#[derive(Debug)]
pub struct Unary<'a> {
    pub pos: Pos,
    pub operand: Expr<'a>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BinOp {
    Eq,
    NotEq,
    And,
    Or,
    Implies,
    Update,
    Concat,
    Plus,
    Sub,
    Mul,
    Div,
    Less,
    LessEq,
    Greater,
    GreaterEq,
}

#[derive(Debug)]
pub struct Binary<'a> {
    pub op: BinOp,
    /// Of the operator.
    pub pos: Pos,
    pub left: Expr<'a>,
    pub right: Expr<'a>,
}

/// A string or path with antiquotations. For a path the first part is a `Const` path and the result is a path.
#[derive(Debug)]
pub struct Interp<'a> {
    pub pos: Pos,
    pub is_path: bool,
    pub parts: &'a mut [(Pos, Expr<'a>)],
}

const _: () = assert!(std::mem::size_of::<Expr>() == 16);
