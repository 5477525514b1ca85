//! What a value is.

use super::*;
use crate::value::Kind;

pub const TABLE: &[Builtin] = &[
    row("typeOf", &["e"], 1, type_of, "The type of `e` as a string: `\"int\"`, `\"bool\"`, `\"string\"`, `\"path\"`, `\"null\"`, `\"set\"`, `\"list\"`, `\"lambda\"` or `\"float\"`."),
    row("isNull", &["e"], 1, |_, a, _| Ok(Val::bool(a[0] == Val::NULL)), "Whether `e` is null."),
    row("isFunction", &["e"], 1, |_, a, _| is(a, |k| matches!(k, Kind::Lambda(_) | Kind::PrimOp(_) | Kind::PrimOpApp(_))), "Whether `e` is a function."),
    row("isInt", &["e"], 1, |_, a, _| is(a, |k| matches!(k, Kind::Int(_))), "Whether `e` is an integer."),
    row("isFloat", &["e"], 1, |_, a, _| is(a, |k| matches!(k, Kind::Float(_))), "Whether `e` is a float."),
    row("isString", &["e"], 1, |_, a, _| is(a, |k| matches!(k, Kind::String(_))), "Whether `e` is a string."),
    row("isBool", &["e"], 1, |_, a, _| is(a, |k| matches!(k, Kind::Bool(_))), "Whether `e` is a Boolean."),
    row("isPath", &["e"], 1, |_, a, _| is(a, |k| matches!(k, Kind::Path(_))), "Whether `e` is a path."),
    row("isAttrs", &["e"], 1, |_, a, _| is(a, |k| matches!(k, Kind::Attrs(_))), "Whether `e` is a set."),
    row("isList", &["e"], 1, |_, a, _| is(a, |k| matches!(k, Kind::List(_))), "Whether `e` is a list."),
    row("functionArgs", &["f"], 1, function_args, "The formal arguments of `f`: for each, whether it has a default."),
];

fn is(args: Args, test: fn(Kind) -> bool) -> Res {
    Ok(Val::bool(test(args[0].kind())))
}

fn type_of(ev: &mut Ev, args: Args, _: At) -> Res {
    Ok(ev.string(ev.type_of(args[0]).as_bytes()))
}

fn function_args(ev: &mut Ev, args: Args, pos: At) -> Res {
    match args[0].kind() {
        Kind::Lambda(f) => {
            let Some(formals) = &f.code().formals else { return Ok(Val::attrs(ev.empty_attrs)) };
            let mut set = AttrsBuilder::with_capacity(formals.list.len());
            for formal in formals.list.iter() {
                set.push_at(formal.sym, formal.pos, Val::bool(formal.default.is_some()));
            }
            Ok(Val::attrs(set.finish_sorted(ev).attrs()))
        }
        Kind::PrimOp(_) | Kind::PrimOpApp(_) => Ok(Val::attrs(ev.empty_attrs)),
        _ => {
            let found = ev.show_type(args[0]);
            Err(ev.throw(crate::error::Code::Type, pos, format!("'functionArgs' requires a function, not {found}")))
        }
    }
}
