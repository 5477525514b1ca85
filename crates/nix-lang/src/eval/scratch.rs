//! Environments that are used again.
//!
//! Many small functions (`x: x.name`, `a: b: a < b`) make nothing that refers to their environment: no thunk, no function, no scope. When such
//! a call has returned, nobody can see its environment any more, and the next call of the same size gets it.

use super::*;
use crate::ast::{AttrName, Formals, Lambda};

/// Larger environments are rare and not kept.
const LARGEST: usize = 8;

#[derive(Default)]
pub(super) struct Scratch {
    free: [Vec<EnvRef>; LARGEST + 1],
}

impl Scratch {
    #[inline(always)]
    pub(super) fn env(&mut self, arena: &'static Arena, up: EnvRef, len: usize) -> EnvRef {
        match self.free.get_mut(len).and_then(Vec::pop) {
            Some(env) => {
                env.set_up(up);
                env
            }
            None => EnvRef::alloc(arena, up, len),
        }
    }
    #[inline(always)]
    pub(super) fn give_back(&mut self, env: EnvRef, len: usize) {
        if let Some(free) = self.free.get_mut(len) {
            free.push(env);
        }
    }
}

/// Whether a call of the function can leave something behind that refers to its environment.
#[inline(always)]
pub(super) fn keeps_env(code: &Lambda<'_>) -> bool {
    match code.keeps_env.get() {
        Some(keeps) => keeps,
        None => {
            let keeps = formals_keep(code.formals.as_ref()) || expr_keeps(&code.body, 0);
            code.keeps_env.set(Some(keeps));
            keeps
        }
    }
}

/// A default that is computed later is computed in the environment.
fn formals_keep(formals: Option<&Formals<'_>>) -> bool {
    formals.is_some_and(|f| f.list.iter().any(|f| !matches!(f.default, None | Some(Expr::Const(_)))))
}

/// Deeper expressions are taken to keep theirs.
const DEEPEST: usize = 50;

fn expr_keeps(expr: &Expr<'_>, depth: usize) -> bool {
    if depth > DEEPEST {
        return true;
    }
    let keeps = |e: &Expr<'_>| expr_keeps(e, depth + 1);
    let name_keeps = |name: &AttrName<'_>| matches!(name, AttrName::Dynamic(_, e) if expr_keeps(e, depth + 1));
    match expr {
        Expr::Const(_) | Expr::Name { .. } | Expr::Local { .. } | Expr::WithVar(_) | Expr::CurPos(_) => false,
        Expr::Select(e) => keeps(&e.set),
        Expr::SelectPath(e) => keeps(&e.set) || e.path.iter().any(name_keeps) || e.default.as_ref().is_some_and(keeps),
        Expr::HasAttr(e) => keeps(&e.set) || e.path.iter().any(name_keeps),
        Expr::List(e) => e.items.iter().any(|item| !is_plain(item)),
        Expr::Call(e) => keeps(&e.function) || e.args.iter().any(|arg| !is_plain(arg)),
        Expr::If(e) => keeps(&e.cond) || keeps(&e.then) || keeps(&e.otherwise),
        Expr::Assert(e) => keeps(&e.cond) || keeps(&e.body),
        Expr::Not(e) => keeps(&e.operand),
        Expr::Binary(e) => keeps(&e.left) || keeps(&e.right),
        Expr::Interp(e) => e.parts.iter().any(|(_, part)| keeps(part)),
        Expr::Attrs(_) | Expr::Lambda(_) | Expr::Let(_) | Expr::With(_) => true,
    }
}

/// Whether the expression is passed on without a thunk.
fn is_plain(expr: &Expr<'_>) -> bool {
    matches!(expr, Expr::Const(_) | Expr::Local { .. })
}
