//! Operators, and the calls that bind tighter than any of them.
//!
//! Operators wait on a stack that all expressions share until one comes that binds less tightly, so a long chain of them needs no stack of
//! the machine's. Only pipes, which bind least of all and are rare, have a loop of their own around it.

use super::*;

/// A call with more arguments than this gets no more of them from around its parentheses.
const MAX_MERGED_ARGS: usize = 64;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Not,
    Negate,
    Binary(BinOp),
}

pub(super) struct PendingOp {
    op: Op,
    prec: u8,
    pos: Pos,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Assoc {
    Left,
    Right,
    None,
}

const PREC_NOT: u8 = 7;
const PREC_HAS_ATTR: u8 = 11;
const PREC_NEGATE: u8 = 12;

#[inline(always)]
fn infix(kind: T) -> Option<(BinOp, u8, Assoc)> {
    Some(match kind {
        T::Implies => (BinOp::Implies, 1, Assoc::Right),
        T::OrOr => (BinOp::Or, 2, Assoc::Left),
        T::And => (BinOp::And, 3, Assoc::Left),
        T::Eq => (BinOp::Eq, 4, Assoc::None),
        T::NotEq => (BinOp::NotEq, 4, Assoc::None),
        T::Less => (BinOp::Less, 5, Assoc::None),
        T::LessEq => (BinOp::LessEq, 5, Assoc::None),
        T::Greater => (BinOp::Greater, 5, Assoc::None),
        T::GreaterEq => (BinOp::GreaterEq, 5, Assoc::None),
        T::Update => (BinOp::Update, 6, Assoc::Right),
        T::Plus => (BinOp::Plus, 8, Assoc::Left),
        T::Minus => (BinOp::Sub, 8, Assoc::Left),
        T::Star => (BinOp::Mul, 9, Assoc::Left),
        T::Slash => (BinOp::Div, 9, Assoc::Left),
        T::Concat => (BinOp::Concat, 10, Assoc::Right),
        _ => return None,
    })
}

impl<'a> Parser<'a, '_> {
    /// `a |> f`, `f <| a`. The first operand may have been begun: `first`, at `pos`.
    #[inline(always)]
    pub(super) fn pipe(&mut self, first: Option<Expr<'a>>, pos: Pos) -> R<Expr<'a>> {
        let expr = self.operators(first, pos)?;
        if matches!(self.tok.kind, T::PipeInto | T::PipeFrom) {
            return self.pipes(expr);
        }
        Ok(expr)
    }

    #[cold]
    fn pipes(&mut self, mut expr: Expr<'a>) -> R<Expr<'a>> {
        let kind = self.tok.kind;
        let mut before: Vec<(Pos, Expr<'a>)> = Vec::new();
        while self.tok.kind == kind {
            if !self.options.pipe_operators {
                return Err(Error::new(Code::Forbidden, self.pos(), "experimental Nix feature 'pipe-operators' is disabled")
                    .with_hint(format!("the operator {} belongs to it: `--extra-experimental-features pipe-operators`", kind.name())));
            }
            let op = self.pos();
            self.advance();
            let start = self.pos();
            let next = self.operators(None, start)?;
            if kind == T::PipeInto {
                expr = self.call(op, next, expr);
            } else {
                before.push((op, std::mem::replace(&mut expr, next)));
            }
        }
        while let Some((op, function)) = before.pop() {
            expr = self.call(op, function, expr);
        }
        if matches!(self.tok.kind, T::PipeInto | T::PipeFrom) {
            return Err(self.unexpected("end of expression").with_hint("`|>` and `<|` cannot be mixed without parentheses"));
        }
        Ok(expr)
    }

    /// One argument more for a call.
    pub(super) fn call(&mut self, pos: Pos, function: Expr<'a>, arg: Expr<'a>) -> Expr<'a> {
        let base = self.exprs.len();
        self.exprs.push(arg);
        self.make_call(pos, function, base)
    }

    /// A call with the arguments on the stack from `base`. Arguments after a finished call become that call's.
    #[inline]
    fn make_call(&mut self, pos: Pos, function: Expr<'a>, base: usize) -> Expr<'a> {
        let arena = self.arena;
        if let Expr::Call(inner) = function {
            if inner.args.len() > MAX_MERGED_ARGS {
                let args = arena.alloc_slice_fill_iter(self.exprs.drain(base..));
                return Expr::Call(arena.alloc(Call { pos, function: Expr::Call(inner), args }));
            }
            let old = inner.args.iter_mut().map(take).collect::<Vec<_>>();
            let args = arena.alloc_slice_fill_iter(Chain(old.into_iter(), self.exprs.drain(base..)));
            return Expr::Call(arena.alloc(Call { pos: inner.pos, function: take(&mut inner.function), args }));
        }
        let args = arena.alloc_slice_fill_iter(self.exprs.drain(base..));
        Expr::Call(arena.alloc(Call { pos, function, args }))
    }

    /// Unary and binary operators, by precedence.
    fn operators(&mut self, mut first: Option<Expr<'a>>, mut pos: Pos) -> R<Expr<'a>> {
        let ops = self.ops.len();
        let depth = self.depth;
        loop {
            if first.is_none() {
                loop {
                    let (op, prec) = match self.tok.kind {
                        T::Not => (Op::Not, PREC_NOT),
                        T::Minus => (Op::Negate, PREC_NEGATE),
                        _ => break,
                    };
                    self.enter()?;
                    self.ops.push(PendingOp { op, prec, pos: self.pos() });
                    self.advance();
                }
                pos = self.pos();
            }
            let mut operand = self.application(first.take(), pos)?;
            loop {
                let kind = self.tok.kind;
                if kind == T::Question {
                    operand = self.reduce(operand, ops, PREC_HAS_ATTR, Assoc::None)?;
                    self.advance();
                    let base = self.path.len();
                    self.attr_path()?;
                    let path = self.arena.alloc_slice_fill_iter(self.path.drain(base..));
                    operand = Expr::HasAttr(self.arena.alloc(HasAttr { pos, set: operand, path }));
                    continue;
                }
                let Some((op, prec, assoc)) = infix(kind) else {
                    if self.ops.len() > ops {
                        operand = self.reduce(operand, ops, 0, Assoc::Left)?;
                    }
                    self.depth = depth;
                    return Ok(operand);
                };
                if self.ops.len() > ops {
                    operand = self.reduce(operand, ops, prec, assoc)?;
                }
                self.ops.push(PendingOp { op: Op::Binary(op), prec, pos: self.pos() });
                self.exprs.push(operand);
                self.advance();
                break;
            }
        }
    }

    /// Applies the pending operators (above `ops`) that bind tighter than one of precedence `prec`.
    fn reduce(&mut self, mut operand: Expr<'a>, ops: usize, prec: u8, assoc: Assoc) -> R<Expr<'a>> {
        while self.ops.len() > ops {
            let top = &self.ops[self.ops.len() - 1];
            if top.prec < prec || (top.prec == prec && assoc == Assoc::Right) {
                break;
            }
            if top.prec == prec && assoc == Assoc::None {
                let text = String::from_utf8_lossy(self.tok_text()).into_owned();
                return Err(self.not_associative(&text));
            }
            let (op, pos) = (top.op, top.pos);
            self.ops.pop();
            operand = match op {
                Op::Not => Expr::Not(self.arena.alloc(Unary { pos, operand })),
                Op::Negate => {
                    let left = Expr::Const(Val::int(self.arena, 0));
                    Expr::Binary(self.arena.alloc(Binary { op: BinOp::Sub, pos, left, right: operand }))
                }
                Op::Binary(op) => {
                    let left = self.exprs.pop().unwrap_or_else(taken);
                    Expr::Binary(self.arena.alloc(Binary { op, pos, left, right: operand }))
                }
            };
        }
        Ok(operand)
    }

    /// A function and its arguments.
    #[inline]
    fn application(&mut self, first: Option<Expr<'a>>, pos: Pos) -> R<Expr<'a>> {
        let function = self.selection(first, pos)?;
        if !starts_simple(self.tok.kind) {
            return Ok(function);
        }
        let base = self.exprs.len();
        while starts_simple(self.tok.kind) {
            let pos = self.pos();
            let arg = self.selection(None, pos)?;
            self.exprs.push(arg);
        }
        Ok(self.make_call(pos, function, base))
    }

    #[cold]
    fn not_associative(&self, op: &str) -> Box<Error> {
        Error::new(Code::Syntax, self.pos(), format!("syntax error, unexpected '{op}': the operator is not associative"))
            .with_hint("say by parentheses what belongs together")
    }
}
