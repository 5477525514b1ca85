//! Evaluation of each kind of expression.

use super::*;
use crate::ast::*;
use crate::error;

impl Expr<'_> {
    /// A place in the source for messages.
    pub fn pos(&self) -> Pos {
        match self {
            Expr::Const(_) => Pos::NONE,
            Expr::Name { pos, .. } | Expr::Local { pos, .. } | Expr::CurPos(pos) => *pos,
            Expr::WithVar(e) => e.pos,
            Expr::Select(e) => e.pos,
            Expr::SelectPath(e) => e.pos,
            Expr::HasAttr(e) => e.pos,
            Expr::Attrs(e) => e.pos,
            Expr::List(e) => e.items.first().map_or(Pos::NONE, Expr::pos),
            Expr::Lambda(e) => e.pos,
            Expr::Call(e) => e.pos,
            Expr::Let(e) => e.body.pos(),
            Expr::With(e) => e.pos,
            Expr::If(e) => e.pos,
            Expr::Assert(e) => e.pos,
            Expr::Not(e) => e.pos,
            Expr::Binary(e) => e.pos,
            Expr::Interp(e) => e.pos,
        }
    }
}

impl AttrName<'_> {
    fn pos(&self) -> Pos {
        match self {
            AttrName::Static(_, pos) | AttrName::Dynamic(pos, _) => *pos,
        }
    }
}

impl Evaluator {
    /// Evaluates to weak head normal form.
    pub fn eval(&mut self, expr: &'static Expr<'static>, env: EnvRef) -> R<Val> {
        self.check_stack(Pos::NONE)?;
        let (mut expr, mut env) = (expr, env);
        loop {
            match expr {
                Expr::Const(v) => return self.force(*v),
                Expr::Local { level, index, pos, .. } => {
                    let env = env.up(u32::from(*level));
                    let slot = env.slot(*index);
                    let v = slot.get();
                    if v.is_whnf() {
                        return Ok(v);
                    }
                    return self.force_slot_slow(slot, env).inspect_err(|_| self.place_error(*pos));
                }
                Expr::Select(e) => return self.eval_select(e, env),
                Expr::Call(e) => return self.eval_call(e, env),
                Expr::Lambda(e) => return Ok(Val::lambda(self.arena, &**e, env)),
                Expr::Attrs(e) => return self.eval_attrs(e, env),
                Expr::If(e) => {
                    expr = if self.eval_bool(&e.cond, env, e.pos)? { &e.then } else { &e.otherwise };
                }
                Expr::Let(e) => {
                    let len = e.values.len();
                    let inner = EnvRef::alloc(self.arena, env, len);
                    inner.fill(self.template(&e.template, e.values), len);
                    (expr, env) = (&e.body, inner);
                }
                Expr::With(e) => {
                    let inner = EnvRef::alloc(self.arena, env, 1);
                    let set = self.delay(&e.set, env);
                    inner.set(0, set);
                    (expr, env) = (&e.body, inner);
                }
                Expr::WithVar(e) => return self.eval_with_var(e, env),
                Expr::Assert(e) => {
                    if !self.eval_bool(&e.cond, env, e.pos)? {
                        return Err(self.assertion_failed(e, env));
                    }
                    expr = &e.body;
                }
                Expr::List(e) => {
                    let list = ListRef::alloc(self.arena, e.items.len());
                    for (i, item) in e.items.iter().enumerate() {
                        let item = self.delay(item, env);
                        list.set(i, item);
                    }
                    return Ok(Val::list(list));
                }
                Expr::Interp(e) => return self.eval_interp(e, env),
                Expr::Binary(e) => match e.op {
                    BinOp::And => {
                        if !self.eval_bool(&e.left, env, e.pos)? {
                            return Ok(Val::FALSE);
                        }
                        return self.eval_bool(&e.right, env, e.pos).map(Val::bool);
                    }
                    BinOp::Or => {
                        if self.eval_bool(&e.left, env, e.pos)? {
                            return Ok(Val::TRUE);
                        }
                        return self.eval_bool(&e.right, env, e.pos).map(Val::bool);
                    }
                    BinOp::Implies => {
                        if !self.eval_bool(&e.left, env, e.pos)? {
                            return Ok(Val::TRUE);
                        }
                        return self.eval_bool(&e.right, env, e.pos).map(Val::bool);
                    }
                    _ => return self.eval_binary(e, env),
                },
                Expr::Not(e) => return Ok(Val::bool(!self.eval_bool(&e.operand, env, e.pos)?)),
                Expr::HasAttr(e) => return self.eval_has_attr(e, env),
                Expr::SelectPath(e) => return self.eval_select_path(e, env),
                Expr::CurPos(pos) => return Ok(self.position_value(*pos)),
                Expr::Name { sym, pos } => {
                    let name = self.name(*sym);
                    return Err(self.throw(Code::Internal, *pos, format!("variable '{name}' was not bound")));
                }
            }
        }
    }

    /// Gives an error that has no place yet this one.
    #[cold]
    #[inline(never)]
    pub(crate) fn place_error(&mut self, pos: Pos) {
        let is_prelude = self.sources.is_prelude(pos);
        if let Some(error) = &mut self.error {
            if error.pos == Pos::NONE && !is_prelude {
                error.pos = pos;
            }
        }
    }

    #[inline]
    fn eval_bool(&mut self, expr: &'static Expr<'static>, env: EnvRef, pos: Pos) -> R<bool> {
        let v = self.eval(expr, env)?;
        match v.as_bool() {
            Some(b) => Ok(b),
            None => Err(self.type_error(if expr.pos() == Pos::NONE { pos } else { expr.pos() }, "a Boolean", v)),
        }
    }

    /// The initial slots of a scope: constants as they are, everything else deferred. Made once for each scope.
    #[inline]
    fn template(&mut self, cache: &Cell<*const Val>, values: &'static [Expr<'static>]) -> *const Val {
        if cache.get().is_null() {
            let slots = self.arena.alloc_slice_fill_iter(values.iter().map(|e| match e {
                Expr::Const(v) => *v,
                _ => Val::deferred(e),
            }));
            cache.set(slots.as_ptr());
        }
        cache.get()
    }

    #[inline(never)]
    fn eval_attrs(&mut self, e: &'static Attrs<'static>, env: EnvRef) -> R<Val> {
        let template = self.template(&e.template, e.values);
        let len = e.shape.len();
        let (flat, inner) = if e.rec {
            let flat = Flat::alloc(self.arena, e.shape, env, e.values.len());
            let inner = flat.as_env();
            inner.fill(template, e.values.len());
            (flat, inner)
        } else if e.sources() > 0 {
            let inner = EnvRef::alloc(self.arena, env, e.sources());
            // SAFETY: the template has a word for every value, the sources last.
            inner.fill(unsafe { template.add(len) }, e.sources());
            let flat = Flat::alloc(self.arena, e.shape, inner, len);
            flat.as_env().fill(template, len);
            (flat, inner)
        } else {
            let flat = Flat::alloc(self.arena, e.shape, env, len);
            flat.as_env().fill(template, len);
            (flat, env)
        };
        let mut set = flat;
        if e.rec {
            if let Some(at) = e.shape.find(self.known.overrides) {
                set = self.apply_overrides(flat, at)?;
            }
        }
        if !e.dynamics.is_empty() {
            set = self.add_dynamics(e, set, inner)?;
        }
        Ok(Val::attrs(set.attrs()))
    }

    /// `__overrides` of a `rec` set: its attributes replace those of the set, in the scope too.
    #[cold]
    #[inline(never)]
    fn apply_overrides(&mut self, flat: Flat, at: u32) -> R<Flat> {
        let shape = flat.shape();
        let overrides = self.force_slot(flat.slot(at), flat.slot_env())?;
        let overrides = self.expect_attrs(overrides, shape.positions()[at as usize])?;
        let over = self.flatten(overrides);
        for (i, &sym) in over.shape().syms().iter().enumerate() {
            if let Some(mine) = shape.find(sym) {
                let v = self.lazy_slot(over.slot(i as u32), over.slot_env());
                flat.slot(mine).set(v);
            }
        }
        let merged = self.update(flat.attrs(), over.attrs());
        Ok(self.flatten(merged))
    }

    #[inline(never)]
    fn add_dynamics(&mut self, e: &'static Attrs<'static>, flat: Flat, inner: EnvRef) -> R<Flat> {
        let mut set = AttrsBuilder::with_capacity(flat.shape().len() + e.dynamics.len());
        for d in e.dynamics.iter() {
            let v = self.eval(&d.name, inner)?;
            if v == Val::NULL {
                continue;
            }
            let name = match v.as_str() {
                Some(s) => s,
                None => return Err(self.type_error(d.pos, "a string", v)),
            };
            self.check_no_context(name, d.pos)?;
            let sym = self.symbols.intern(name.bytes());
            if let (Some(before), _) = (flat.shape().find(sym).map(|i| flat.shape().positions()[i as usize]), ()) {
                return Err(self.duplicate(sym, d.pos, before));
            }
            if let Some(before) = set.position(sym) {
                return Err(self.duplicate(sym, d.pos, before));
            }
            let value = self.delay(&d.value, inner);
            set.push_at(sym, d.pos, value);
        }
        for (i, (&sym, &pos)) in flat.shape().syms().iter().zip(flat.shape().positions()).enumerate() {
            let v = self.lazy_slot(flat.slot(i as u32), flat.slot_env());
            set.push_at(sym, pos, v);
        }
        Ok(set.finish_flat(self))
    }

    #[cold]
    fn duplicate(&mut self, sym: Sym, pos: Pos, before: Pos) -> Thrown {
        let name = self.name(sym);
        let thrown = self.throw(Code::DuplicateAttribute, pos, format!("dynamic attribute '{name}' already defined"));
        self.frame(before, |_| "it was defined here first".into());
        thrown
    }

    #[inline]
    fn eval_select(&mut self, e: &'static Select<'static>, env: EnvRef) -> R<Val> {
        let set = match &e.set {
            Expr::Local { level, index, .. } => {
                let env = env.up(u32::from(*level));
                let slot = env.slot(*index);
                let v = slot.get();
                if v.is_whnf() {
                    v
                } else {
                    self.force_slot_slow(slot, env).inspect_err(|_| self.place_error(e.set.pos()))?
                }
            }
            other => self.eval(other, env)?,
        };
        let Some(attrs) = set.as_attrs() else {
            return Err(self.select_failed(set, e.sym, e.set.pos(), e.pos));
        };
        let Some((flat, at)) = find_cached(attrs, e.sym, &e.cache) else {
            return Err(self.select_failed(set, e.sym, e.set.pos(), e.pos));
        };
        let slot = flat.slot(at);
        let v = slot.get();
        if v.is_whnf() {
            return Ok(v);
        }
        match self.force_slot_slow(slot, flat.slot_env()) {
            Ok(v) => Ok(v),
            Err(t) => {
                let pos = flat.shape().positions()[at as usize];
                self.frame(pos, |ev| format!("while evaluating the attribute '{}'", ev.name(e.sym)));
                self.place_error(e.pos);
                Err(t)
            }
        }
    }

    /// The error of `v.sym`, the parts of which stand at `set_pos` and `pos`: not a set, or no such attribute.
    #[cold]
    #[inline(never)]
    pub(crate) fn select_failed(&mut self, v: Val, sym: Sym, set_pos: Pos, pos: Pos) -> Thrown {
        let name = self.name(sym);
        let Some(attrs) = v.as_attrs() else {
            let thrown = self.type_error(if set_pos == Pos::NONE { pos } else { set_pos }, "a set", v);
            self.frame(pos, |_| format!("while selecting the attribute '{name}'"));
            return thrown;
        };
        let flat = self.flatten(attrs);
        let names = flat.shape().syms().iter().map(|&s| self.symbols.name(s));
        let hint = absent_hint(&name).map(str::to_owned).or_else(|| error::did_you_mean(self.symbols.name(sym), names));
        let mut e = Error::new(Code::MissingAttribute, pos, format!("attribute '{name}' missing"));
        e.hint = hint;
        self.raise(e)
    }

    fn attr_name(&mut self, name: &'static AttrName<'static>, env: EnvRef) -> R<Sym> {
        match name {
            AttrName::Static(sym, _) => Ok(*sym),
            AttrName::Dynamic(pos, e) => {
                let v = self.eval(e, env)?;
                let Some(s) = v.as_str() else {
                    return Err(self.type_error(*pos, "a string", v));
                };
                self.check_no_context(s, *pos)?;
                Ok(self.intern(s))
            }
        }
    }

    #[inline(never)]
    fn eval_select_path(&mut self, e: &'static SelectPath<'static>, env: EnvRef) -> R<Val> {
        let mut v = self.eval(&e.set, env)?;
        for name in e.path.iter() {
            let sym = self.attr_name(name, env)?;
            match v.as_attrs().and_then(|a| a.find(sym)) {
                Some((flat, at)) => {
                    v = match self.force_slot(flat.slot(at), flat.slot_env()) {
                        Ok(v) => v,
                        Err(t) => {
                            let pos = flat.shape().positions()[at as usize];
                            self.frame(pos, |ev| format!("while evaluating the attribute '{}'", ev.name(sym)));
                            self.place_error(name.pos());
                            return Err(t);
                        }
                    }
                }
                None => match &e.default {
                    Some(default) => return self.eval(default, env),
                    None => return Err(self.select_failed(v, sym, e.pos, name.pos())),
                },
            }
        }
        Ok(v)
    }

    #[inline(never)]
    fn eval_has_attr(&mut self, e: &'static HasAttr<'static>, env: EnvRef) -> R<Val> {
        let mut v = self.eval(&e.set, env)?;
        let (last, before) = e.path.split_last().expect("an attribute path has a name");
        for name in before {
            let sym = self.attr_name(name, env)?;
            match v.as_attrs().and_then(|a| a.find(sym)) {
                Some((flat, at)) => v = self.force_slot(flat.slot(at), flat.slot_env())?,
                None => return Ok(Val::FALSE),
            }
        }
        let sym = self.attr_name(last, env)?;
        Ok(Val::bool(v.as_attrs().is_some_and(|a| a.find(sym).is_some())))
    }

    #[inline(never)]
    fn eval_with_var(&mut self, e: &'static WithVar<'static>, env: EnvRef) -> R<Val> {
        for &level in e.levels {
            let scope = env.up(level);
            let set = self.force_slot(scope.slot(0), EnvRef::NULL)?;
            let Some(attrs) = set.as_attrs() else {
                return Err(self.type_error(e.pos, "a set", set));
            };
            if let Some((flat, at)) = find_cached(attrs, e.sym, &e.cache) {
                return match self.force_slot(flat.slot(at), flat.slot_env()) {
                    Ok(v) => Ok(v),
                    Err(t) => {
                        self.place_error(e.pos);
                        Err(t)
                    }
                };
            }
        }
        let name = self.name(e.sym);
        let mut error = Error::new(Code::UndefinedVariable, e.pos, format!("undefined variable '{name}'"));
        let mut names = Vec::new();
        for &level in e.levels {
            if let Some(attrs) = env.up(level).slot(0).get().as_attrs() {
                names.extend(self.flatten(attrs).shape().syms().iter().map(|&s| self.symbols.name(s)));
            }
        }
        error.hint = error::did_you_mean(self.symbols.name(e.sym), names.into_iter());
        Err(self.raise(error))
    }

    /// Says which values were not equal where the condition is about that.
    #[cold]
    #[inline(never)]
    fn assertion_failed(&mut self, e: &'static Assert<'static>, env: EnvRef) -> Thrown {
        let mut message = format!("assertion '{}' failed", String::from_utf8_lossy(e.text));
        if let Expr::Binary(b) = &e.cond {
            if b.op == BinOp::Eq {
                let sides = self.eval(&b.left, env).and_then(|left| Ok((left, self.eval(&b.right, env)?)));
                match sides {
                    Ok((left, right)) => message += &format!(": {} is not equal to {}", self.print_short(left), self.print_short(right)),
                    Err(t) => return t,
                }
            }
        }
        self.throw(Code::AssertionFailed, e.pos, message)
    }

    #[inline(never)]
    fn eval_binary(&mut self, e: &'static Binary<'static>, env: EnvRef) -> R<Val> {
        let a = self.eval(&e.left, env)?;
        if e.op == BinOp::Plus && a.as_int().is_none() && !matches!(a.kind(), Kind::Float(_)) {
            return self.eval_plus(a, e, env);
        }
        let b = self.eval(&e.right, env)?;
        if let Some((x, y)) = Val::both_small_ints(a, b) {
            // 61 bits: neither sum nor difference can overflow.
            match e.op {
                BinOp::Plus => return Ok(Val::int(self.arena, x + y)),
                BinOp::Sub => return Ok(Val::int(self.arena, x - y)),
                BinOp::Less => return Ok(Val::bool(x < y)),
                BinOp::LessEq => return Ok(Val::bool(x <= y)),
                BinOp::Greater => return Ok(Val::bool(x > y)),
                BinOp::GreaterEq => return Ok(Val::bool(x >= y)),
                BinOp::Eq => return Ok(Val::bool(x == y)),
                BinOp::NotEq => return Ok(Val::bool(x != y)),
                _ => {}
            }
        }
        match e.op {
            BinOp::Eq => self.equal(a, b, e.pos).map(Val::bool),
            BinOp::NotEq => self.equal(a, b, e.pos).map(|eq| Val::bool(!eq)),
            BinOp::Update => {
                let a = self.expect_attrs(a, e.pos)?;
                let b = self.expect_attrs(b, e.pos)?;
                Ok(Val::attrs(self.update(a, b)))
            }
            BinOp::Concat => {
                let a = self.expect_list(a, e.pos)?;
                let b = self.expect_list(b, e.pos)?;
                self.concat_lists(&[a, b], e.pos)
            }
            BinOp::Plus | BinOp::Sub | BinOp::Mul | BinOp::Div => self.arithmetic(e.op, a, b, e.pos),
            BinOp::Less => self.less_than(a, b, e.pos).map(Val::bool),
            BinOp::Greater => self.less_than(b, a, e.pos).map(Val::bool),
            BinOp::LessEq => self.less_than(b, a, e.pos).map(|r| Val::bool(!r)),
            BinOp::GreaterEq => self.less_than(a, b, e.pos).map(|r| Val::bool(!r)),
            BinOp::And | BinOp::Or | BinOp::Implies => unreachable!("evaluated lazily before"),
        }
    }

    /// `a + b` where `a` is neither integer nor float: strings and paths.
    fn eval_plus(&mut self, a: Val, e: &'static Binary<'static>, env: EnvRef) -> R<Val> {
        if let Some(x) = a.as_str() {
            let b = self.eval(&e.right, env)?;
            if let Some(y) = b.as_str() {
                return Ok(self.append(x, y, e.pos)?.val());
            }
            let mut out = StrBuf::new(self);
            out.push(x);
            self.coerce_into(b, &mut out, Coerce::PLUS, self.place_of(&e.right, e.pos))?;
            return out.finish(self, e.pos);
        }
        let mut out = StrBuf::new(self);
        if let Some(path) = a.as_path() {
            out.bytes.extend_from_slice(path.bytes());
            let b = self.eval(&e.right, env)?;
            let options = if b.as_path().is_some() { Coerce::PATH_PART } else { Coerce::PLUS };
            self.coerce_into(b, &mut out, options, self.place_of(&e.right, e.pos))?;
            return self.finish_path(out, e.pos);
        }
        self.coerce_into(a, &mut out, Coerce::PLUS, self.place_of(&e.left, e.pos))?;
        let b = self.eval(&e.right, env)?;
        self.coerce_into(b, &mut out, Coerce::PLUS, self.place_of(&e.right, e.pos))?;
        out.finish(self, e.pos)
    }

    fn place_of(&self, expr: &Expr<'static>, otherwise: Pos) -> Pos {
        match expr.pos() {
            Pos::NONE => otherwise,
            pos => pos,
        }
    }

    fn finish_path(&mut self, out: StrBuf, pos: Pos) -> R<Val> {
        if out.has_context() {
            out.discard(self);
            return Err(self.throw(Code::Context, pos, "a string that refers to a store path cannot be appended to a path"));
        }
        let canonical = crate::data::path::canonicalise(&out.bytes);
        let v = Val::path(self.arena, &canonical);
        out.discard(self);
        Ok(v)
    }

    /// Two strings in one.
    pub(crate) fn append(&mut self, x: Str, y: Str, pos: Pos) -> R<Str> {
        let context = match (x.context(), y.context()) {
            (None, c) | (c, None) => c,
            (Some(a), Some(b)) => Some(self.contexts.union(self.arena, a, b)),
        };
        let (a, b) = (x.bytes(), y.bytes());
        self.check_room(a.len() + b.len(), pos)?;
        Ok(Str::alloc_parts(self.arena, a.len() + b.len(), context, |out| {
            // SAFETY: `out` has room for both.
            unsafe {
                std::ptr::copy_nonoverlapping(a.as_ptr(), out, a.len());
                std::ptr::copy_nonoverlapping(b.as_ptr(), out.add(a.len()), b.len());
            }
        }))
    }

    #[inline(never)]
    fn eval_interp(&mut self, e: &'static Interp<'static>, env: EnvRef) -> R<Val> {
        let mut out = StrBuf::new(self);
        for (pos, part) in e.parts.iter() {
            let v = match part {
                Expr::Const(v) => *v,
                other => self.eval(other, env)?,
            };
            match v.as_str() {
                Some(s) => out.push(s),
                None => {
                    let options = if e.is_path { Coerce::PATH_PART } else { Coerce::INTERPOLATION };
                    let pos = if part.pos() == Pos::NONE { *pos } else { part.pos() };
                    self.coerce_into(v, &mut out, options, pos)?;
                }
            }
        }
        if e.is_path {
            return self.finish_path(out, e.pos);
        }
        out.finish(self, e.pos)
    }
}

/// What to use instead of builtins that are absent on purpose.
fn absent_hint(name: &str) -> Option<&'static str> {
    match name {
        "getFlake" | "parseFlakeRef" | "flakeRefToString" => {
            Some("flakes are not supported; import a folder or `fetchTarball { url, sha256 }`, or a channel by `<name>`")
        }
        "fetchTree" | "fetchMercurial" | "fetchClosure" => Some("not supported; use `fetchTarball`, `fetchGit` or `fetchurl`"),
        "outputOf" => Some("dynamic derivations are not supported"),
        _ => None,
    }
}
