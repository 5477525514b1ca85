//! Numbers and order.

use super::*;
use crate::ast::BinOp;
use crate::error::Code;
use crate::value::Kind;

pub const TABLE: &[Builtin] = &[
    row("add", &["e1", "e2"], 3, |ev, a, p| arithmetic(ev, BinOp::Plus, a, p), "The sum of two numbers."),
    row("sub", &["e1", "e2"], 3, |ev, a, p| arithmetic(ev, BinOp::Sub, a, p), "The difference of two numbers."),
    row("mul", &["e1", "e2"], 3, |ev, a, p| arithmetic(ev, BinOp::Mul, a, p), "The product of two numbers."),
    row("div", &["e1", "e2"], 3, |ev, a, p| arithmetic(ev, BinOp::Div, a, p), "The quotient of two numbers; of integers, rounded towards zero."),
    row("bitAnd", &["e1", "e2"], 3, |ev, a, p| bits(ev, a, p, |x, y| x & y), "Bitwise and of two integers."),
    row("bitOr", &["e1", "e2"], 3, |ev, a, p| bits(ev, a, p, |x, y| x | y), "Bitwise or of two integers."),
    row("bitXor", &["e1", "e2"], 3, |ev, a, p| bits(ev, a, p, |x, y| x ^ y), "Bitwise exclusive or of two integers."),
    row("lessThan", &["e1", "e2"], 3, |ev, a, p| ev.less_than(a[0], a[1], p).map(Val::bool), "Whether `e1` is less than `e2`."),
    row("ceil", &["x"], 1, |ev, a, p| round(ev, a, p, f64::ceil), "The least integer not below `x`."),
    row("floor", &["x"], 1, |ev, a, p| round(ev, a, p, f64::floor), "The greatest integer not above `x`."),
];

fn arithmetic(ev: &mut Ev, op: BinOp, args: Args, pos: At) -> Res {
    // Unlike the operator `+`, none of these joins strings.
    let wanted = if args.iter().any(|v| matches!(v.kind(), Kind::Float(_))) { "a float" } else { "an integer" };
    if let Some(&other) = args.iter().find(|v| !matches!(v.kind(), Kind::Int(_) | Kind::Float(_))) {
        return Err(ev.type_error(pos, wanted, other));
    }
    ev.arithmetic(op, args[0], args[1], pos)
}

fn bits(ev: &mut Ev, args: Args, pos: At, op: fn(i64, i64) -> i64) -> Res {
    let (x, y) = (ev.expect_int(args[0], pos)?, ev.expect_int(args[1], pos)?);
    Ok(ev.int(op(x, y)))
}

fn round(ev: &mut Ev, args: Args, pos: At, op: fn(f64) -> f64) -> Res {
    if let Kind::Int(n) = args[0].kind() {
        return Ok(ev.int(n));
    }
    let Kind::Float(x) = args[0].kind() else { return Err(ev.type_error(pos, "a float", args[0])) };
    let x = op(x);
    // The bounds are exact as floats; NaN fails both.
    if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&x) {
        return Ok(ev.int(x as i64));
    }
    Err(ev.throw(Code::IntegerOverflow, pos, format!("{x} does not fit into an integer")))
}
