//! What a program that embeds the evaluator asks of values.

use super::*;
use crate::show;

impl Evaluator {
    pub fn builtins(&self) -> Val {
        self.builtins_set
    }

    /// Evaluates a text with the attributes of a set in scope.
    pub fn eval_text_in(&mut self, text: &[u8], origin: Origin, base_dir: &[u8], scope: Val) -> R<Val> {
        let attrs = self.expect_attrs(scope, Pos::NONE)?;
        let (names, env) = self.scope_of(attrs);
        let expr = self.parse(origin, text, base_dir, &[&names])?;
        self.eval(expr, env)
    }

    /// The value of a text for later: it is parsed now, and evaluated when it is asked for.
    pub fn delay_text(&mut self, text: &[u8], origin: Origin, base_dir: &[u8]) -> R<Val> {
        let expr = self.parse(origin, text, base_dir, &[])?;
        Ok(self.delay(expr, EnvRef::NULL))
    }

    /// Evaluates what Python's own objects are made of: all that is inside, but of a derivation no more than its output path.
    pub fn force_for_export(&mut self, v: Val) -> R<()> {
        let mut seen = crate::symbol::FxSet::default();
        self.force_for_export_seen(v, &mut seen)
    }

    fn force_for_export_seen(&mut self, v: Val, seen: &mut crate::symbol::FxSet<u64>) -> R<()> {
        self.check_level(Pos::NONE)?;
        let v = self.force(v)?;
        match v.kind() {
            Kind::Attrs(_) if seen.insert(v.identity()) => {
                if let Some(path) = self.derivation_path(v)? {
                    return self.force(path).map(drop);
                }
                for (_, item) in self.attr_items(v).unwrap_or_default() {
                    self.force_for_export_seen(item, seen)?;
                }
            }
            Kind::List(list) if seen.insert(v.identity()) => {
                for slot in list.slots() {
                    self.force_for_export_seen(slot.get(), seen)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// `outPath` of a set that says that it is a derivation.
    fn derivation_path(&mut self, v: Val) -> R<Option<Val>> {
        let Some(attrs) = v.as_attrs() else { return Ok(None) };
        let (Some(kind), Some(path)) = (self.symbols.find(b"type"), self.symbols.find(b"outPath")) else { return Ok(None) };
        let (Some(kind), Some(path)) = (self.attr_lazy(attrs, kind), self.attr_lazy(attrs, path)) else { return Ok(None) };
        let kind = self.force(kind)?;
        Ok(kind.as_str().filter(|s| s.bytes() == b"derivation").map(|_| path))
    }

    /// A derivation's output path, as far as it is evaluated.
    pub fn exported_path(&mut self, v: Val) -> Option<Val> {
        let attrs = v.as_attrs()?;
        let kind = self.attr_lazy(attrs, self.symbols.find(b"type")?)?;
        let kind = kind.as_thunk().map_or(Some(kind), |t| t.value())?;
        if kind.as_str()?.bytes() != b"derivation" {
            return None;
        }
        self.attr_lazy(attrs, self.symbols.find(b"outPath")?)
    }

    /// An environment that holds the attributes of a set, and the slot of each name.
    pub(crate) fn scope_of(&mut self, attrs: AttrsRef) -> (Vec<(Sym, u32)>, EnvRef) {
        let flat = self.flatten(attrs);
        let syms = flat.shape().syms();
        let env = EnvRef::alloc(self.arena, EnvRef::NULL, syms.len());
        for i in 0..syms.len() {
            let v = self.lazy_attr(flat, i as u32);
            env.set(i, v);
        }
        (syms.iter().enumerate().map(|(i, &s)| (s, i as u32)).collect(), env)
    }

    /// The parsed text as `nix-instantiate --parse` prints it.
    pub fn show_parsed(&mut self, text: &[u8], origin: Origin, base_dir: &[u8]) -> R<Vec<u8>> {
        // There may be thousands in one call.
        self.poll(Pos::NONE)?;
        let expr = self.parse_to_show(origin, text, base_dir)?;
        Ok(show::show(expr, &self.symbols))
    }

    /// A forced set's names in alphabetical order; none for any other value.
    pub fn attr_names(&mut self, v: Val) -> Option<Vec<&'static [u8]>> {
        let flat = self.flatten(v.as_attrs()?);
        Some(self.alphabetical(flat).iter().map(|&i| self.symbols.name(flat.shape().syms()[i as usize])).collect())
    }

    /// A forced set's names and values in alphabetical order; none for any other value.
    pub fn attr_items(&mut self, v: Val) -> Option<Vec<(&'static [u8], Val)>> {
        let flat = self.flatten(v.as_attrs()?);
        let order = self.alphabetical(flat);
        Some(order.iter().map(|&i| (self.symbols.name(flat.shape().syms()[i as usize]), self.lazy_attr(flat, i))).collect())
    }

    /// A string's context, each element as CppNix writes it.
    pub fn context_texts(&self, v: Val) -> Vec<String> {
        let Some(context) = v.as_str().and_then(Str::context) else { return Vec::new() };
        let dir = &self.settings.store_dir;
        let text = |id: &u32| match self.contexts.elem(*id) {
            ContextElem::Path(p) => p.to_absolute(dir),
            ContextElem::DrvDeep(p) => format!("={}", p.to_absolute(dir)),
            ContextElem::Output { drv, output } => format!("!{output}!{}", drv.to_absolute(dir)),
        };
        context.ids().iter().map(text).collect()
    }

    /// `toString v`
    pub fn to_text(&mut self, v: Val) -> R<Str> {
        self.coerce_to_string(v, Coerce::TO_STRING, Pos::NONE)
    }

    /// `"${v}"`
    pub fn interpolate(&mut self, v: Val) -> R<Str> {
        self.coerce_to_string(v, Coerce::INTERPOLATION, Pos::NONE)
    }

    /// The value as JSON. Unless `strict`, nothing inside of it is evaluated, and what was not is an error.
    pub fn to_json(&mut self, v: Val, strict: bool) -> R<Vec<u8>> {
        let mut out = StrBuf::new(self);
        let result = builtins::write_json(self, v, &mut out, strict, Pos::NONE);
        let text = out.bytes.clone();
        out.discard(self);
        result.map(|()| text)
    }

    /// Name, arguments and documentation of a builtin.
    pub fn builtin_doc(&self, v: Val) -> Option<(&'static str, Vec<&'static str>, &'static str)> {
        let id = match v.kind() {
            Kind::PrimOp(id) => id,
            Kind::PrimOpApp(app) => app.id(),
            _ => return None,
        };
        let row = self.state.row(id);
        Some((row.name, row.args.to_vec(), row.doc))
    }
}
