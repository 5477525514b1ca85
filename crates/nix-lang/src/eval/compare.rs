//! Equality, order and arithmetic.

use super::*;
use crate::ast::BinOp;
use std::cmp::Ordering;

impl Evaluator {
    /// `a == b`. Functions are never equal; derivations are compared by their `outPath`; what is kept at the same place is equal, but evaluated all the same.
    pub fn equal(&mut self, a: Val, b: Val, pos: Pos) -> R<bool> {
        self.check_level(pos)?;
        let a = self.force(a)?;
        let b = self.force(b)?;
        match (a.kind(), b.kind()) {
            (Kind::Int(x), Kind::Int(y)) => Ok(x == y),
            (Kind::Int(x), Kind::Float(y)) => Ok(x as f64 == y),
            (Kind::Float(x), Kind::Int(y)) => Ok(x == y as f64),
            (Kind::Float(x), Kind::Float(y)) => Ok(x == y),
            (Kind::Bool(x), Kind::Bool(y)) => Ok(x == y),
            (Kind::Null, Kind::Null) => Ok(true),
            (Kind::String(x), Kind::String(y)) | (Kind::Path(x), Kind::Path(y)) => Ok(x == y || x.bytes() == y.bytes()),
            (Kind::List(x), Kind::List(y)) => {
                if x.len() != y.len() {
                    return Ok(false);
                }
                for (s, t) in x.slots().iter().zip(y.slots()) {
                    if s.get() == t.get() {
                        // Equal whatever it is, but an error in it is an error.
                        self.force_slot(s, EnvRef::NULL)?;
                        continue;
                    }
                    let (u, v) = (self.force_slot(s, EnvRef::NULL)?, self.force_slot(t, EnvRef::NULL)?);
                    if !self.equal(u, v, pos)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            (Kind::Attrs(x), Kind::Attrs(y)) => {
                if self.is_derivation(x)? && self.is_derivation(y)? {
                    if let (Some(u), Some(v)) = (self.attr_lazy(x, self.known.out_path), self.attr_lazy(y, self.known.out_path)) {
                        self.enter_call(pos)?;
                        let result = self.equal(u, v, pos);
                        self.leave_call();
                        return result;
                    }
                }
                if x.len() != y.len() {
                    return Ok(false);
                }
                let (x, y) = (self.flatten(x), self.flatten(y));
                if !std::ptr::eq(x.shape(), y.shape()) && x.shape().syms() != y.shape().syms() {
                    return Ok(false);
                }
                for i in 0..x.shape().len() as u32 {
                    // The same variable on both sides is equal to itself, even if it is a function.
                    if variable(x, i).is_some_and(|slot| variable(y, i) == Some(slot)) {
                        self.force_attr(x, i)?;
                        continue;
                    }
                    let (u, v) = (self.lazy_attr(x, i), self.lazy_attr(y, i));
                    if u == v {
                        self.force(u)?;
                    } else if !self.equal(u, v, pos)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Whether the set says `type = "derivation"`.
    pub fn is_derivation(&mut self, attrs: AttrsRef) -> R<bool> {
        Ok(match self.attr(attrs, self.known.type_)? {
            Some(v) => v.as_str().is_some_and(|s| s.bytes() == b"derivation"),
            None => false,
        })
    }

    /// `a < b`
    pub fn less_than(&mut self, a: Val, b: Val, pos: Pos) -> R<bool> {
        Ok(self.compare(a, b, pos)? == Some(Ordering::Less))
    }

    /// The order of two values; none where a NaN has none.
    pub fn compare(&mut self, a: Val, b: Val, pos: Pos) -> R<Option<Ordering>> {
        self.check_level(pos)?;
        let a = self.force(a)?;
        let b = self.force(b)?;
        Ok(match (a.kind(), b.kind()) {
            (Kind::Int(x), Kind::Int(y)) => Some(x.cmp(&y)),
            (Kind::Int(x), Kind::Float(y)) => (x as f64).partial_cmp(&y),
            (Kind::Float(x), Kind::Int(y)) => x.partial_cmp(&(y as f64)),
            (Kind::Float(x), Kind::Float(y)) => x.partial_cmp(&y),
            (Kind::String(x), Kind::String(y)) | (Kind::Path(x), Kind::Path(y)) => Some(x.bytes().cmp(y.bytes())),
            (Kind::List(x), Kind::List(y)) => {
                for (s, t) in x.slots().iter().zip(y.slots()) {
                    let (u, v) = (self.force_slot(s, EnvRef::NULL)?, self.force_slot(t, EnvRef::NULL)?);
                    if !self.equal(u, v, pos)? {
                        self.enter_call(pos)?;
                        let result = self.compare(u, v, pos);
                        self.leave_call();
                        return result;
                    }
                }
                Some(x.len().cmp(&y.len()))
            }
            _ => return Err(self.cannot_compare(a, b, pos)),
        })
    }

    #[cold]
    #[inline(never)]
    fn cannot_compare(&mut self, a: Val, b: Val, pos: Pos) -> Thrown {
        let (s, t) = (self.show_type(a), self.show_type(b));
        let message = if s == t {
            format!("cannot compare {s} with {t}; values of that type are incomparable")
        } else {
            format!("cannot compare {s} with {t}")
        };
        self.throw(Code::Type, pos, message)
    }

    pub(crate) fn arithmetic(&mut self, op: BinOp, a: Val, b: Val, pos: Pos) -> R<Val> {
        if let (Some(x), Some(y)) = (a.as_int(), b.as_int()) {
            let (result, sign) = match op {
                BinOp::Plus => (x.checked_add(y), '+'),
                BinOp::Sub => (x.checked_sub(y), '-'),
                BinOp::Mul => (x.checked_mul(y), '*'),
                _ => {
                    if y == 0 {
                        return Err(self.throw(Code::DivisionByZero, pos, "division by zero"));
                    }
                    (x.checked_div(y), '/')
                }
            };
            return match result {
                Some(n) => Ok(self.int(n)),
                None => {
                    let what = match op {
                        BinOp::Plus => "adding",
                        BinOp::Sub => "subtracting",
                        BinOp::Mul => "multiplying",
                        _ => "dividing",
                    };
                    Err(self.throw(Code::IntegerOverflow, pos, format!("integer overflow in {what} {x} {sign} {y}")))
                }
            };
        }
        let (Some(x), Some(y)) = (as_number(a), as_number(b)) else { return Err(self.not_numbers(op, a, b, pos)) };
        let result = match op {
            BinOp::Plus => x + y,
            BinOp::Sub => x - y,
            BinOp::Mul => x * y,
            _ => {
                if y == 0.0 {
                    return Err(self.throw(Code::DivisionByZero, pos, "division by zero"));
                }
                x / y
            }
        };
        Ok(self.float(result))
    }

    #[cold]
    #[inline(never)]
    fn not_numbers(&mut self, op: BinOp, a: Val, b: Val, pos: Pos) -> Thrown {
        if op == BinOp::Plus {
            let (s, t) = (self.show_type(a), self.show_type(b));
            return self.throw(Code::Type, pos, format!("cannot add {t} to {s}"));
        }
        let is_float = |v: Val| matches!(v.kind(), Kind::Float(_));
        let wanted = if is_float(a) || is_float(b) { "a float" } else { "an integer" };
        self.type_error(pos, wanted, if as_number(a).is_none() { a } else { b })
    }

    pub(crate) fn concat_lists(&mut self, lists: &[ListRef], pos: Pos) -> R<Val> {
        let len: usize = lists.iter().fold(0, |sum, l| sum.saturating_add(l.len()));
        let mut full = lists.iter().filter(|l| !l.is_empty());
        if let (Some(&only), None) = (full.next(), full.next()) {
            return Ok(Val::list(only));
        }
        if len == 0 {
            return Ok(self.empty_list);
        }
        self.check_room(len.saturating_mul(8), pos)?;
        let out = ListRef::alloc(self.arena, len);
        let mut at = 0;
        for list in lists {
            for slot in list.slots() {
                out.set(at, slot.get());
                at += 1;
            }
        }
        Ok(Val::list(out))
    }
}

fn as_number(v: Val) -> Option<f64> {
    match v.kind() {
        Kind::Int(n) => Some(n as f64),
        Kind::Float(x) => Some(x),
        _ => None,
    }
}

/// The slot of the variable that an attribute, not looked at before, just names.
fn variable(set: Flat, i: u32) -> Option<*const Cell<Val>> {
    let expr = set.slot(i).get().as_deferred()?;
    // SAFETY: a deferred word points to a tree in the arena, which lives as long as the evaluator.
    match unsafe { &*expr } {
        Expr::Local { level, index, .. } => Some(std::ptr::from_ref(set.slot_env().up(u32::from(*level)).slot(*index))),
        _ => None,
    }
}
