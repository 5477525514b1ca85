//! Attribute sets: look-up, `//`, building.
//!
//! `a // b` has three ways. If `b` is small against `a`, it is laid over it. If both shapes recur (they come from literals), the merged
//! shape and where each slot comes from are remembered: such a pair is merged again and again by `mkDerivation` and the like.
//! Else the two are merged as sorted arrays.

use super::*;

/// A set is laid over another when that has at least this many attributes …
const LAYER_MIN: usize = 24;
/// … and is this many times larger.
const LAYER_RATIO: usize = 4;
/// Look-up tries each layer, so there are few.
const LAYERS_MAX: usize = 8;
/// A plan's mark for "from the right-hand set".
const FROM_RIGHT: u32 = 1 << 31;

#[derive(Default)]
pub struct MergeCache {
    plans: FxMap<(usize, usize), (&'static Shape, &'static [u32])>,
}

impl AttrsRef {
    /// Where an attribute is. The slot is evaluated in that flat set's environment.
    #[inline]
    pub fn find(self, sym: Sym) -> Option<(Flat, u32)> {
        let mut set = self;
        loop {
            match set.form() {
                AttrsForm::Flat(flat) => return flat.shape().find(sym).map(|at| (flat, at)),
                AttrsForm::Layered { base, over } => {
                    if let Some(at) = over.shape().find(sym) {
                        return Some((over, at));
                    }
                    set = base;
                }
            }
        }
    }
}

impl Evaluator {
    /// The value of an attribute in weak head normal form, if it is there.
    pub fn attr(&mut self, attrs: AttrsRef, sym: Sym) -> R<Option<Val>> {
        match attrs.find(sym) {
            None => Ok(None),
            Some((flat, at)) => match self.force_slot(flat.slot(at), flat.slot_env()) {
                Ok(v) => Ok(Some(v)),
                Err(t) => {
                    let pos = flat.shape().positions()[at as usize];
                    self.frame(pos, |ev| format!("while evaluating the attribute '{}'", ev.name(sym)));
                    Err(t)
                }
            },
        }
    }

    /// An attribute without evaluating it.
    pub fn attr_lazy(&mut self, attrs: AttrsRef, sym: Sym) -> Option<Val> {
        let (flat, at) = attrs.find(sym)?;
        Some(self.lazy_slot(flat.slot(at), flat.slot_env()))
    }

    /// Slot `i` of a flat set, in weak head normal form.
    pub(crate) fn force_attr(&mut self, flat: Flat, i: u32) -> R<Val> {
        self.force_slot(flat.slot(i), flat.slot_env())
    }

    /// Slot `i` of a flat set, as it is.
    pub(crate) fn lazy_attr(&mut self, flat: Flat, i: u32) -> Val {
        self.lazy_slot(flat.slot(i), flat.slot_env())
    }

    /// The set as one array.
    pub(crate) fn flatten(&mut self, attrs: AttrsRef) -> Flat {
        match attrs.form() {
            AttrsForm::Flat(flat) => flat,
            AttrsForm::Layered { base, over } => {
                let base = self.flatten(base);
                let flat = self.merge(base, over);
                attrs.set_flat(flat);
                flat
            }
        }
    }

    /// Indices of a flat set in the alphabetical order of its names.
    pub(crate) fn alphabetical(&self, flat: Flat) -> &'static [u32] {
        flat.shape().order(self.arena, |s| self.symbols.name(s))
    }

    /// `a // b`
    pub(crate) fn update(&mut self, a: AttrsRef, b: AttrsRef) -> AttrsRef {
        if b.is_empty() {
            return a;
        }
        if a.is_empty() {
            return b;
        }
        let (left, right) = (a.len(), b.len());
        if left >= LAYER_MIN && left >= LAYER_RATIO * right {
            let layers = a.layers();
            if layers < LAYERS_MAX {
                let over = self.flatten(b);
                let new = over.shape().syms().iter().filter(|&&s| a.find(s).is_none()).count();
                return AttrsRef::layered(self.arena, a, over, left + new, layers + 1);
            }
        }
        let (a, b) = (self.flatten(a), self.flatten(b));
        self.merge(a, b).attrs()
    }

    fn merge(&mut self, a: Flat, b: Flat) -> Flat {
        let (shape_a, shape_b) = (a.shape(), b.shape());
        if shape_a.stable && shape_b.stable {
            let key = (shape_a as *const Shape as usize, shape_b as *const Shape as usize);
            let (shape, plan) = match self.merges.plans.get(&key) {
                Some(&known) => known,
                None => {
                    let made = self.plan_merge(shape_a, shape_b, true);
                    self.merges.plans.insert(key, made);
                    made
                }
            };
            let out = Flat::alloc(self.arena, shape, EnvRef::NULL, plan.len());
            let (env_a, env_b) = (a.slot_env(), b.slot_env());
            for (i, &from) in plan.iter().enumerate() {
                let v = if from & FROM_RIGHT != 0 { self.lazy_slot(b.slot(from & !FROM_RIGHT), env_b) } else { self.lazy_slot(a.slot(from), env_a) };
                out.set(i, v);
            }
            return out;
        }
        let (syms_a, syms_b) = (shape_a.syms(), shape_b.syms());
        let (pos_a, pos_b) = (shape_a.positions(), shape_b.positions());
        let (env_a, env_b) = (a.slot_env(), b.slot_env());
        let mut set = AttrsBuilder::with_capacity(syms_a.len() + syms_b.len());
        let (mut i, mut j) = (0, 0);
        while i < syms_a.len() || j < syms_b.len() {
            if j == syms_b.len() || (i < syms_a.len() && syms_a[i] < syms_b[j]) {
                let v = self.lazy_slot(a.slot(i as u32), env_a);
                set.push_at(syms_a[i], pos_a[i], v);
                i += 1;
            } else {
                if i < syms_a.len() && syms_a[i] == syms_b[j] {
                    i += 1;
                }
                let v = self.lazy_slot(b.slot(j as u32), env_b);
                set.push_at(syms_b[j], pos_b[j], v);
                j += 1;
            }
        }
        set.finish_sorted(self)
    }

    fn plan_merge(&mut self, a: &'static Shape, b: &'static Shape, stable: bool) -> (&'static Shape, &'static [u32]) {
        let (syms_a, syms_b) = (a.syms(), b.syms());
        let mut plan = Vec::with_capacity(syms_a.len() + syms_b.len());
        let (mut i, mut j) = (0, 0);
        while i < syms_a.len() || j < syms_b.len() {
            if j == syms_b.len() || (i < syms_a.len() && syms_a[i] < syms_b[j]) {
                plan.push(i as u32);
                i += 1;
            } else {
                if i < syms_a.len() && syms_a[i] == syms_b[j] {
                    i += 1;
                }
                plan.push(j as u32 | FROM_RIGHT);
                j += 1;
            }
        }
        let names = plan.iter().map(|&from| {
            let (shape, at) = if from & FROM_RIGHT != 0 { (b, from & !FROM_RIGHT) } else { (a, from) };
            (shape.syms()[at as usize], shape.positions()[at as usize])
        });
        (Shape::alloc(self.arena, names, stable, false), self.arena.alloc_slice_copy(&plan))
    }

    /// A set with the names of another and the values that `value` gives. It has no positions: its attributes stand nowhere.
    pub(crate) fn same_shape(&mut self, flat: Flat, mut value: impl FnMut(&mut Evaluator, u32) -> Val) -> Val {
        let shape = flat.shape();
        if shape.is_empty() {
            return Val::attrs(self.empty_attrs);
        }
        let shape = self.bare_shape(shape);
        let out = Flat::alloc(self.arena, shape, EnvRef::NULL, shape.len());
        for i in 0..shape.len() {
            let v = value(self, i as u32);
            out.set(i, v);
        }
        Val::attrs(out.attrs())
    }

    /// The same names without positions and without being an environment.
    fn bare_shape(&mut self, shape: &'static Shape) -> &'static Shape {
        if !shape.stable {
            return shape.bare(self.arena);
        }
        // Remembered beside the merges, as one with nothing: no shape lies at address zero.
        let key = (shape as *const Shape as usize, 0);
        if let Some(&(bare, _)) = self.merges.plans.get(&key) {
            return bare;
        }
        let bare = shape.bare(self.arena);
        self.merges.plans.insert(key, (bare, &[]));
        bare
    }
}

/// Collects attributes for a new set. Of equal names the first pushed stays.
pub struct AttrsBuilder {
    items: Vec<(Sym, Pos, Val)>,
}

impl AttrsBuilder {
    pub fn with_capacity(n: usize) -> Self {
        AttrsBuilder { items: Vec::with_capacity(n) }
    }
    pub fn push(&mut self, sym: Sym, v: Val) {
        self.items.push((sym, Pos::NONE, v));
    }
    pub fn push_at(&mut self, sym: Sym, pos: Pos, v: Val) {
        self.items.push((sym, pos, v));
    }
    /// Where a name that was pushed stands in the source (linear).
    pub fn position(&self, sym: Sym) -> Option<Pos> {
        self.items.iter().find(|i| i.0 == sym).map(|i| i.1)
    }
    pub fn finish(self, ev: &mut Evaluator) -> Val {
        Val::attrs(self.finish_flat(ev).attrs())
    }
    pub fn finish_flat(mut self, ev: &mut Evaluator) -> Flat {
        self.items.sort_by_key(|i| i.0);
        self.items.dedup_by_key(|i| i.0);
        self.finish_sorted(ev)
    }
    /// The items are sorted by symbol and distinct already.
    pub fn finish_sorted(self, ev: &mut Evaluator) -> Flat {
        if self.items.is_empty() {
            let empty = ev.empty_attrs;
            return ev.flatten(empty);
        }
        let shape = Shape::alloc(ev.arena, self.items.iter().map(|i| (i.0, i.1)), false, false);
        let flat = Flat::alloc(ev.arena, shape, EnvRef::NULL, self.items.len());
        for (i, item) in self.items.iter().enumerate() {
            flat.set(i, item.2);
        }
        flat
    }
}
