//! Calling functions.

use super::*;
use crate::ast::{Call, Formals, Lambda};
use crate::error;

/// The arguments of a call, the first of which its function takes in any case.
trait Arguments: Copy {
    fn count(self) -> usize;
    /// An argument that nobody needs yet.
    fn delayed(self, ev: &mut Evaluator, at: usize) -> Val;
    fn evaluated(self, ev: &mut Evaluator, at: usize) -> R<Val>;
}

/// Arguments as they stand in the source: one that is needed at once never becomes a thunk.
#[derive(Clone, Copy)]
struct Written {
    exprs: &'static [Expr<'static>],
    env: EnvRef,
}

impl Arguments for Written {
    #[inline(always)]
    fn count(self) -> usize {
        self.exprs.len()
    }

    #[inline(always)]
    fn delayed(self, ev: &mut Evaluator, at: usize) -> Val {
        ev.delay(&self.exprs[at], self.env)
    }

    #[inline(always)]
    fn evaluated(self, ev: &mut Evaluator, at: usize) -> R<Val> {
        ev.eval(&self.exprs[at], self.env)
    }
}

impl Arguments for &[Val] {
    #[inline(always)]
    fn count(self) -> usize {
        self.len()
    }

    #[inline(always)]
    fn delayed(self, _: &mut Evaluator, at: usize) -> Val {
        self[at]
    }

    #[inline(always)]
    fn evaluated(self, ev: &mut Evaluator, at: usize) -> R<Val> {
        ev.force(self[at])
    }
}

impl Evaluator {
    /// A call as it stands in the source.
    #[inline(never)]
    pub(super) fn eval_call(&mut self, e: &'static Call<'static>, env: EnvRef) -> R<Val> {
        let args: &'static [Expr<'static>] = e.args;
        let mut f = self.eval(&e.function, env)?;
        let mut at = 0;
        while at < args.len() {
            if let Some(function) = f.as_lambda() {
                let written = Written { exprs: &args[at..], env };
                let (v, taken) = self.apply(function, written, e.pos)?;
                f = v;
                at += taken;
            } else if let Some(id) = f.as_prim_op() {
                let arity = self.state.arity(id);
                let left = args.len() - at;
                if left < arity {
                    let given: Vec<Val> = args[at..].iter().map(|a| self.delay(a, env)).collect();
                    return Ok(Val::prim_op_app(self.arena, id, &given));
                }
                let strict = self.state.strict(id);
                let mut given = [Val::NULL; builtins::MAX_ARITY];
                for i in 0..arity {
                    given[i] = if strict >> i & 1 == 1 { self.eval(&args[at + i], env)? } else { self.delay(&args[at + i], env) };
                }
                at += arity;
                f = self.call_prim_op(id, &given[..arity], e.pos)?;
            } else {
                let arg = self.delay(&args[at], env);
                at += 1;
                f = self.call(f, &[arg], e.pos)?;
            }
        }
        Ok(f)
    }

    #[cold]
    #[inline(never)]
    fn call_frame(&mut self, code: &'static Lambda<'static>, pos: Pos) {
        self.frame(pos, |ev| match code.name.get() {
            Sym(0) => "while calling an anonymous function".into(),
            name => format!("while calling '{}'", ev.name(name)),
        });
    }

    /// Calls a builtin with all its arguments.
    #[inline]
    pub(crate) fn call_prim_op(&mut self, id: u32, args: &[Val], pos: Pos) -> R<Val> {
        let function = self.state.function(id);
        match function(self, args, pos) {
            Ok(v) => Ok(v),
            Err(t) => {
                self.prim_frame(id, pos);
                Err(t)
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn prim_frame(&mut self, id: u32, pos: Pos) {
        if !self.state.is_transparent(id) {
            self.place_error(pos);
            self.frame(pos, |ev| format!("while calling the '{}' builtin", ev.state.name(id)));
        }
    }

    /// Calls a function with one argument.
    #[inline(never)]
    pub fn call_lambda(&mut self, function: LambdaRef, arg: Val, pos: Pos) -> R<Val> {
        self.apply(function, &[arg][..], pos).map(|(v, _)| v)
    }

    /// Calls a function with as many of the arguments as it and the functions that are its body take; says how many that were.
    #[inline(always)]
    fn apply(&mut self, function: LambdaRef, args: impl Arguments, pos: Pos) -> R<(Val, usize)> {
        self.enter_call(pos)?;
        let (mut code, mut outer) = (function.code(), function.env());
        // The environment around the last one, of a function of several arguments.
        let mut before: Option<(EnvRef, usize)> = None;
        let mut at = 0;
        let result = loop {
            let len = code.env_len();

            let inner = match &code.formals {
                None => {
                    let arg = args.delayed(self, at);
                    let inner = EnvRef::alloc(self.arena, outer, 1);
                    inner.set(0, arg);
                    inner
                }
                Some(formals) => {
                    // A function with formals looks at its argument at once.
                    let arg = match args.evaluated(self, at) {
                        Ok(arg) => arg,
                        Err(t) => break Err(t),
                    };
                    match self.bind_formals(code, formals, outer, arg, pos) {
                        Ok(inner) => inner,
                        Err(t) => break Err(t),
                    }
                }
            };
            at += 1;
            match &code.body {
                // `x: y: …` with both arguments there: no closure in between.
                Expr::Lambda(next) if at < args.count() => {
                    before = Some((inner, len));
                    (code, outer) = (next, inner);
                }
                body => {
                    let result = self.eval(body, inner);
                    if result.is_ok() {
                        inner.take_back(self.arena, len);
                        if let Some((env, len)) = before {
                            env.take_back(self.arena, len);
                        }
                    }
                    break result;
                }
            }
        };
        self.leave_call();
        match result {
            Ok(v) => Ok((v, at)),
            Err(t) => {
                self.call_frame(code, pos);
                Err(t)
            }
        }
    }

    /// Calls any value that can be called.
    pub fn call(&mut self, function: Val, args: &[Val], pos: Pos) -> R<Val> {
        let mut f = self.force(function)?;
        let mut at = 0;
        while at < args.len() {
            match f.kind() {
                Kind::Lambda(function) => {
                    let (v, taken) = self.apply(function, &args[at..], pos)?;
                    f = v;
                    at += taken;
                }
                Kind::PrimOp(id) => {
                    let arity = self.state.arity(id);
                    if args.len() - at < arity {
                        return Ok(Val::prim_op_app(self.arena, id, &args[at..]));
                    }
                    let mut given = [Val::NULL; builtins::MAX_ARITY];
                    given[..arity].copy_from_slice(&args[at..at + arity]);
                    at += arity;
                    f = self.call_forced(id, &mut given[..arity], pos)?;
                }
                Kind::PrimOpApp(app) => {
                    let (id, have) = (app.id(), app.args());
                    let arity = self.state.arity(id);
                    let mut given = [Val::NULL; builtins::MAX_ARITY];
                    let take = (arity - have.len()).min(args.len() - at);
                    let n = have.len() + take;
                    given[..have.len()].copy_from_slice(have);
                    given[have.len()..n].copy_from_slice(&args[at..at + take]);
                    at += take;
                    if n < arity {
                        return Ok(Val::prim_op_app(self.arena, id, &given[..n]));
                    }
                    f = self.call_forced(id, &mut given[..arity], pos)?;
                }
                Kind::Attrs(attrs) => match attrs.find(self.known.functor) {
                    Some((flat, i)) => {
                        self.check_stack(pos)?;
                        let functor = self.force_slot(flat.slot(i), flat.slot_env())?;
                        self.enter_call(pos)?;
                        let result = self.call(functor, &[f], pos);
                        self.leave_call();
                        f = result?;
                    }
                    None => return Err(self.not_a_function(f, pos)),
                },
                _ => return Err(self.not_a_function(f, pos)),
            }
        }
        Ok(f)
    }

    /// Forces the strict arguments, then calls.
    fn call_forced(&mut self, id: u32, args: &mut [Val], pos: Pos) -> R<Val> {
        self.check_level(pos)?;
        let strict = self.state.strict(id);
        for (i, arg) in args.iter_mut().enumerate() {
            if strict >> i & 1 == 1 {
                *arg = self.force(*arg)?;
            }
        }
        self.call_prim_op(id, args, pos)
    }

    #[cold]
    #[inline(never)]
    fn not_a_function(&mut self, f: Val, pos: Pos) -> Thrown {
        let (what, shown) = (self.show_type(f), self.print_short(f));
        self.throw(Code::NotAFunction, pos, format!("attempt to call something which is not a function but {what}: {shown}"))
    }

    /// The environment of a call of `{ a, b ? e, … }@arg: …`.
    fn bind_formals(&mut self, code: &'static Lambda<'static>, formals: &'static Formals<'static>, outer: EnvRef, arg: Val, pos: Pos) -> R<EnvRef> {
        let Some(attrs) = arg.as_attrs() else {
            let thrown = self.type_error(pos, "a set", arg);
            self.frame(code.pos, |_| "the function that takes it is here".into());
            return Err(thrown);
        };
        let named = usize::from(code.arg != Sym(0));
        let inner = EnvRef::alloc(self.arena, outer, code.env_len());
        if named == 1 {
            inner.set(0, arg);
        }
        let mut found = 0;
        let flat = match attrs.form() {
            AttrsForm::Flat(flat) => Some(flat),
            AttrsForm::Layered { .. } => None,
        };
        for (i, formal) in formals.list.iter().enumerate() {
            let place = match flat {
                Some(flat) => flat.shape().find(formal.sym).map(|at| (flat, at)),
                None => attrs.find(formal.sym),
            };
            let v = match (place, &formal.default) {
                (Some((flat, at)), _) => {
                    found += 1;
                    self.lazy_slot(flat.slot(at), flat.slot_env())
                }
                (None, Some(Expr::Const(v))) => *v,
                (None, Some(default)) => Val::deferred(default),
                (None, None) => return Err(self.missing_argument(code, formal.sym, pos)),
            };
            inner.set(named + i, v);
        }
        if !formals.ellipsis && found != attrs.len() {
            return Err(self.unexpected_argument(code, formals, attrs, pos));
        }
        Ok(inner)
    }

    fn lambda_name(&self, code: &Lambda<'static>) -> String {
        match code.name.get() {
            Sym(0) => "anonymous lambda".into(),
            name => self.name(name),
        }
    }

    #[cold]
    #[inline(never)]
    fn missing_argument(&mut self, code: &'static Lambda<'static>, sym: Sym, pos: Pos) -> Thrown {
        let (function, name) = (self.lambda_name(code), self.name(sym));
        let thrown = self.throw(Code::MissingArgument, pos, format!("function '{function}' called without required argument '{name}'"));
        self.frame(code.pos, |_| "the function is defined here".into());
        thrown
    }

    #[cold]
    #[inline(never)]
    fn unexpected_argument(&mut self, code: &'static Lambda<'static>, formals: &'static Formals<'static>, attrs: AttrsRef, pos: Pos) -> Thrown {
        let flat = self.flatten(attrs);
        let known = |sym: Sym| formals.list.iter().any(|f| f.sym == sym);
        let order = flat.shape().order(self.arena, |s| self.symbols.name(s));
        let Some(extra) = order.iter().map(|&i| flat.shape().syms()[i as usize]).find(|&s| !known(s)) else {
            return self.throw(Code::Internal, pos, "arguments were miscounted");
        };
        let (function, name) = (self.lambda_name(code), self.name(extra));
        let mut e = Error::new(Code::UnexpectedArgument, pos, format!("function '{function}' called with unexpected argument '{name}'"));
        e.hint = error::did_you_mean(self.symbols.name(extra), formals.list.iter().map(|f| self.symbols.name(f.sym)));
        let thrown = self.raise(e);
        self.frame(code.pos, |_| "the function is defined here".into());
        thrown
    }
}
