//! Binding: where the value of each variable is found.
//!
//! A walk over the tree that the parser built, which keeps for each symbol the innermost binding that is in force, so that a variable is
//! looked up in one step however many scopes surround it. Entering a scope writes its names there, leaving it puts back what they hid.
//!
//! A variable that no scope binds is a global; failing that it is left to the enclosing `with`s; failing those it is an error, told now and not when
//! it is evaluated. Arithmetic and comparison are calls of `__sub`, `__lessThan` and so on: where a scope binds such a name, the operator
//! becomes the call, as in CppNix.
//!
//! The walk goes down by recursion, which the parser's limit on nesting bounds; along chains (bodies, operators, selections) it goes by loops.

use crate::arena::Arena;
use crate::ast::*;
use crate::error::{did_you_mean, Code, Error};
use crate::parser::{take, Known, ParseOptions, R};
use crate::source::Pos;
use crate::symbol::{Sym, Symbols};
use std::cell::Cell;

/// More `with`s around one variable than any program has. Each variable may need a list of them.
const MAX_WITHS: usize = 4096;

/// What the parser lets through is never nested that deep, save operators that are calls.
const MAX_NESTING: u32 = 5 * crate::parser::MAX_DEPTH;

thread_local! {
    /// The table of bindings in force, by symbol. All zero between two walks, so that a small file does not pay for clearing a large table.
    static IN_FORCE: Cell<Vec<u32>> = const { Cell::new(Vec::new()) };
}

#[derive(Clone, Copy)]
struct Binding {
    sym: Sym,
    /// The binding that this one hides.
    hidden: u32,
    /// Its level, counted from outside.
    depth: u32,
    slot: u32,
}

struct Binder<'a, 'b> {
    arena: &'a Arena,
    symbols: &'b Symbols<'a>,
    options: &'b ParseOptions<'b>,
    known: &'b Known,
    /// Leave globals as names.
    to_show: bool,
    /// For each symbol its innermost binding, as an index into `bindings`; zero for none.
    in_force: Vec<u32>,
    bindings: Vec<Binding>,
    depth: u32,
    /// How often `expr` is under way.
    nesting: u32,
    /// The levels of the enclosing `with`s.
    withs: Vec<u32>,
    /// The list made last, and the depth for which it holds; valid until a `with` is entered or left.
    with_levels: Option<(u32, &'a [u32])>,
}

/// What the walk must put back when it leaves a scope.
#[derive(Clone, Copy)]
struct Mark {
    bindings: usize,
    depth: u32,
    withs: usize,
}

pub(crate) fn bind<'a>(arena: &'a Arena, symbols: &Symbols<'a>, options: &ParseOptions, known: &Known, to_show: bool, expr: &mut Expr<'a>) -> R<()> {
    let mut in_force = IN_FORCE.take();
    if in_force.len() < symbols.len() {
        in_force.resize(symbols.len().next_power_of_two(), 0);
    }
    let none = Binding { sym: Sym(0), hidden: 0, depth: 0, slot: 0 };
    let bindings = vec![none];
    let mut binder =
        Binder { arena, symbols, options, known, to_show, in_force, bindings, depth: 0, nesting: 0, withs: Vec::new(), with_levels: None };
    for scope in options.outer {
        binder.depth += 1;
        for &(sym, slot) in *scope {
            binder.push(sym, slot);
        }
    }
    let mut result = binder.expr(expr);
    if let Err(e) = &mut result {
        if e.pos == Pos::NONE {
            e.pos = options.base;
        }
    }
    binder.leave(Mark { bindings: 1, depth: 0, withs: 0 });
    IN_FORCE.set(binder.in_force);
    result
}

impl<'a> Binder<'a, '_> {
    #[inline(always)]
    fn push(&mut self, sym: Sym, slot: u32) {
        let head = &mut self.in_force[sym.0 as usize];
        let hidden = std::mem::replace(head, self.bindings.len() as u32);
        self.bindings.push(Binding { sym, hidden, depth: self.depth, slot });
    }

    #[inline(always)]
    fn mark(&self) -> Mark {
        Mark { bindings: self.bindings.len(), depth: self.depth, withs: self.withs.len() }
    }

    #[inline(always)]
    fn leave(&mut self, mark: Mark) {
        while self.bindings.len() > mark.bindings {
            if let Some(b) = self.bindings.pop() {
                self.in_force[b.sym.0 as usize] = b.hidden;
            }
        }
        self.depth = mark.depth;
        if self.withs.len() != mark.withs {
            self.withs.truncate(mark.withs);
            self.with_levels = None;
        }
    }

    /// One level more.
    #[inline(always)]
    fn enter(&mut self, pos: Pos) -> R<()> {
        self.depth += 1;
        if self.depth > u32::from(u16::MAX) {
            return Err(
                Error::new(Code::StackOverflow, pos, "nesting too deep").with_hint(format!("there may be {} scopes within one another", u16::MAX))
            );
        }
        Ok(())
    }

    fn expr(&mut self, expr: &mut Expr<'a>) -> R<()> {
        self.nesting += 1;
        if self.nesting > MAX_NESTING {
            return Err(Error::new(Code::StackOverflow, Pos::NONE, "nesting too deep"));
        }
        let mark = self.mark();
        let mut cur = expr;
        loop {
            match cur {
                Expr::Const(_) | Expr::CurPos(_) | Expr::Local { .. } | Expr::WithVar(_) => break,
                Expr::Name { sym, pos } => {
                    let (sym, pos) = (*sym, *pos);
                    *cur = self.variable(sym, pos, self.in_force[sym.0 as usize])?;
                    break;
                }
                Expr::Select(e) => cur = &mut e.set,
                Expr::SelectPath(e) => {
                    self.path(e.path)?;
                    if let Some(default) = &mut e.default {
                        self.expr(&mut e.set)?;
                        cur = default;
                    } else {
                        cur = &mut e.set;
                    }
                }
                Expr::HasAttr(e) => {
                    self.path(e.path)?;
                    cur = &mut e.set;
                }
                Expr::Attrs(e) => {
                    self.attrs(e)?;
                    break;
                }
                Expr::List(e) => {
                    for item in e.items.iter_mut() {
                        self.expr(item)?;
                    }
                    break;
                }
                Expr::Lambda(e) => {
                    self.enter(e.pos)?;
                    let mut slot = 0;
                    if e.arg != Sym(0) {
                        self.push(e.arg, 0);
                        slot = 1;
                    }
                    if let Some(formals) = &mut e.formals {
                        for formal in formals.list.iter() {
                            self.push(formal.sym, slot);
                            slot += 1;
                        }
                        for formal in formals.list.iter_mut() {
                            if let Some(default) = &mut formal.default {
                                self.expr(default)?;
                            }
                        }
                    }
                    cur = &mut e.body;
                }
                Expr::Call(e) => {
                    self.expr(&mut e.function)?;
                    let Some((last, args)) = e.args.split_last_mut() else { break };
                    for arg in args {
                        self.expr(arg)?;
                    }
                    cur = last;
                }
                Expr::Let(e) => {
                    self.enter(e.names.first().map_or(Pos::NONE, |n| n.1))?;
                    for (slot, &(sym, _)) in e.names.iter().enumerate() {
                        self.push(sym, slot as u32);
                    }
                    for (i, value) in e.values.iter_mut().enumerate() {
                        match e.names.get(i) {
                            Some(&(sym, pos)) => self.value(value, sym, pos, e.names.len() as u32, true)?,
                            None => self.expr(value)?,
                        }
                    }
                    cur = &mut e.body;
                }
                Expr::With(e) => {
                    self.expr(&mut e.set)?;
                    self.enter(e.pos)?;
                    if self.withs.len() >= MAX_WITHS {
                        return Err(Error::new(Code::StackOverflow, e.pos, "nesting too deep")
                            .with_hint(format!("there may be {MAX_WITHS} `with` within one another")));
                    }
                    self.withs.push(self.depth);
                    self.with_levels = None;
                    cur = &mut e.body;
                }
                Expr::If(e) => {
                    self.expr(&mut e.cond)?;
                    self.expr(&mut e.then)?;
                    cur = &mut e.otherwise;
                }
                Expr::Assert(e) => {
                    self.expr(&mut e.cond)?;
                    cur = &mut e.body;
                }
                Expr::Not(e) => cur = &mut e.operand,
                Expr::Binary(_) => match self.left_spine(cur)? {
                    Some(right) => cur = right,
                    None => break,
                },
                Expr::Interp(e) => {
                    for (_, part) in e.parts.iter_mut() {
                        self.expr(part)?;
                    }
                    break;
                }
            }
        }
        if self.depth != mark.depth {
            self.leave(mark);
        }
        self.nesting -= 1;
        Ok(())
    }

    /// Binds a chain of operators that grows to the left, all but the last operand, which is given back.
    fn left_spine<'e>(&mut self, expr: &'e mut Expr<'a>) -> R<Option<&'e mut Expr<'a>>> {
        let mut rights: Vec<&'e mut Expr<'a>> = Vec::new();
        let mut cur = expr;
        let mut outermost = true;
        loop {
            let function = match cur {
                Expr::Binary(e) => self.rebound(e.op).map(|f| (e.pos, f)),
                _ => None,
            };
            if let Some((pos, sym)) = function {
                // The operator is a call now; what is below it is bound as that call's.
                self.make_call(cur, pos, sym);
                if outermost {
                    self.expr(cur)?;
                    return Ok(None);
                }
            }
            match cur {
                Expr::Binary(e) => {
                    rights.push(&mut e.right);
                    cur = &mut e.left;
                    outermost = false;
                }
                other => {
                    self.expr(other)?;
                    break;
                }
            }
        }
        while rights.len() > 1 {
            if let Some(right) = rights.pop() {
                self.expr(right)?;
            }
        }
        Ok(rights.pop())
    }

    /// The function that an operator stands for, if a scope binds its name.
    #[inline(always)]
    fn rebound(&self, op: BinOp) -> Option<Sym> {
        let sym = match op {
            BinOp::Sub => self.known.sub,
            BinOp::Mul => self.known.mul,
            BinOp::Div => self.known.div,
            BinOp::Less | BinOp::LessEq | BinOp::Greater | BinOp::GreaterEq => self.known.less_than,
            _ => return None,
        };
        (self.in_force[sym.0 as usize] != 0).then_some(sym)
    }

    #[cold]
    fn make_call(&mut self, expr: &mut Expr<'a>, pos: Pos, sym: Sym) {
        let Expr::Binary(e) = expr else { return };
        let (left, right) = (take(&mut e.left), take(&mut e.right));
        let (args, negate) = match e.op {
            BinOp::Greater => ([right, left], false),
            BinOp::LessEq => ([right, left], true),
            BinOp::GreaterEq => ([left, right], true),
            _ => ([left, right], false),
        };
        let args = self.arena.alloc(args);
        let call = Expr::Call(self.arena.alloc(Call { pos, function: Expr::Name { sym, pos }, args }));
        *expr = if negate { Expr::Not(self.arena.alloc(Unary { pos, operand: call })) } else { call };
    }

    fn path(&mut self, path: &mut [AttrName<'a>]) -> R<()> {
        for name in path {
            if let AttrName::Dynamic(_, e) = name {
                self.expr(e)?;
            }
        }
        Ok(())
    }

    fn attrs(&mut self, e: &mut Attrs<'a>) -> R<()> {
        let mark = self.mark();
        let len = e.shape.len();
        if e.rec {
            self.enter(e.pos)?;
            for (slot, &sym) in e.shape.syms().iter().enumerate() {
                self.push(sym, slot as u32);
            }
        } else if e.values.len() > len {
            self.enter(e.pos)?;
        }
        let hidden = if e.rec { len as u32 } else { 0 };
        let names = e.shape.syms().iter().zip(e.shape.positions());
        for ((&sym, &pos), value) in names.zip(e.values.iter_mut()) {
            self.value(value, sym, pos, hidden, e.rec)?;
        }
        for source in e.values[len..].iter_mut() {
            self.expr(source)?;
        }
        for dynamic in e.dynamics.iter_mut() {
            self.expr(&mut dynamic.name)?;
            self.expr(&mut dynamic.value)?;
        }
        self.leave(mark);
        Ok(())
    }

    /// The value of a definition. `hidden` is the first hidden slot of its scope; `scope` says that its own name is in that scope.
    #[inline(always)]
    fn value(&mut self, value: &mut Expr<'a>, name: Sym, at: Pos, hidden: u32, scope: bool) -> R<()> {
        match value {
            // `inherit x;` is the only definition whose variable stands where its name does.
            Expr::Name { sym, pos } if scope && *sym == name && *pos == at => {
                let around = self.bindings[self.in_force[name.0 as usize] as usize].hidden;
                *value = self.variable(name, at, around)?;
                Ok(())
            }
            Expr::Select(select) => match &mut select.set {
                Expr::Local { index, .. } => {
                    *index += hidden;
                    Ok(())
                }
                set => self.expr(set),
            },
            _ => self.expr(value),
        }
    }

    /// What a variable becomes, whose innermost binding is given.
    #[inline(always)]
    fn variable(&mut self, sym: Sym, pos: Pos, binding: u32) -> R<Expr<'a>> {
        if binding != 0 {
            let b = self.bindings[binding as usize];
            return Ok(Expr::Local { level: (self.depth - b.depth) as u16, index: b.slot, sym, pos });
        }
        self.unbound(sym, pos)
    }

    fn unbound(&mut self, sym: Sym, pos: Pos) -> R<Expr<'a>> {
        if let Some(v) = (self.options.global)(sym) {
            return Ok(if self.to_show { Expr::Name { sym, pos } } else { Expr::Const(v) });
        }
        if self.withs.is_empty() {
            return Err(self.undefined(sym, pos));
        }
        let levels = match self.with_levels {
            Some((depth, levels)) if depth == self.depth => levels,
            _ => {
                let depth = self.depth;
                let levels: &'a [u32] = self.arena.alloc_slice_fill_iter(self.withs.iter().rev().map(|w| depth - w));
                self.with_levels = Some((depth, levels));
                levels
            }
        };
        Ok(Expr::WithVar(self.arena.alloc(WithVar { sym, pos, levels, cache: Cell::new((std::ptr::null(), 0)) })))
    }

    #[cold]
    fn undefined(&self, sym: Sym, pos: Pos) -> Box<Error> {
        let name = self.symbols.name(sym);
        let mut near: Vec<Sym> = self.bindings[1..].iter().map(|b| b.sym).collect();
        near.extend((self.options.global_names)());
        near.sort_unstable();
        near.dedup();
        let error = Error::new(Code::UndefinedVariable, pos, format!("undefined variable '{}'", String::from_utf8_lossy(name)));
        match did_you_mean(name, near.iter().map(|&s| self.symbols.name(s))) {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    }
}
