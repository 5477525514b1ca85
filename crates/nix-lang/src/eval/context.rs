//! String contexts: which store paths a string depends on.
//!
//! Each distinct element is numbered once; a context is a sorted set of numbers. Elements, in CppNix's notation:
//! `path` (an opaque path), `!out!drv` (an output of a derivation), `=drv` (a derivation with its whole build closure).

use super::*;
use nix_formats::derivation::OutputName;
use nix_formats::store_path::StorePath;

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum ContextElem {
    /// A store path, or a derivation file as a mere file.
    Path(StorePath),
    /// An output of a derivation.
    Output { drv: StorePath, output: OutputName },
    /// A derivation and all that is needed to build it.
    DrvDeep(StorePath),
}

impl ContextElem {
    /// The store path it is about.
    pub fn store_path(&self) -> &StorePath {
        match self {
            ContextElem::Path(p) | ContextElem::DrvDeep(p) => p,
            ContextElem::Output { drv, .. } => drv,
        }
    }
}

#[derive(Default)]
pub struct ContextTable {
    elems: Vec<ContextElem>,
    index: FxMap<ContextElem, u32>,
    sets: FxMap<Box<[u32]>, Context>,
}

impl ContextTable {
    pub fn intern(&mut self, elem: ContextElem) -> u32 {
        if let Some(&id) = self.index.get(&elem) {
            return id;
        }
        let id = self.elems.len() as u32;
        self.elems.push(elem.clone());
        self.index.insert(elem, id);
        id
    }
    pub fn elem(&self, id: u32) -> &ContextElem {
        &self.elems[id as usize]
    }
    /// The context of a sorted, non-empty set of numbers; equal sets are the same object.
    pub fn set(&mut self, arena: &Arena, ids: &[u32]) -> Context {
        if let Some(&known) = self.sets.get(ids) {
            return known;
        }
        let context = Context::alloc(arena, ids);
        self.sets.insert(ids.into(), context);
        context
    }
    pub fn union(&mut self, arena: &Arena, a: Context, b: Context) -> Context {
        if a == b {
            return a;
        }
        let mut set = ContextSet::default();
        set.add(a);
        set.add(b);
        set.finish(self, arena).expect("a union of contexts is not empty")
    }
}

/// Collects contexts.
#[derive(Default)]
pub struct ContextSet {
    /// As long as only one came.
    single: Option<Context>,
    ids: Vec<u32>,
}

impl ContextSet {
    pub fn is_empty(&self) -> bool {
        self.single.is_none() && self.ids.is_empty()
    }
    #[inline]
    pub fn add(&mut self, context: Context) {
        match self.single {
            None if self.ids.is_empty() => self.single = Some(context),
            Some(single) if single == context => {}
            _ => {
                if let Some(single) = self.single.take() {
                    self.ids.extend_from_slice(single.ids());
                }
                self.ids.extend_from_slice(context.ids());
            }
        }
    }
    pub fn add_id(&mut self, id: u32) {
        if let Some(single) = self.single.take() {
            self.ids.extend_from_slice(single.ids());
        }
        self.ids.push(id);
    }
    /// The numbers, sorted and distinct.
    pub fn ids(&mut self) -> Vec<u32> {
        if let Some(single) = self.single {
            return single.ids().to_vec();
        }
        self.ids.sort_unstable();
        self.ids.dedup();
        self.ids.clone()
    }
    pub fn finish(&mut self, table: &mut ContextTable, arena: &Arena) -> Option<Context> {
        if self.single.is_some() {
            return self.single;
        }
        if self.ids.is_empty() {
            return None;
        }
        self.ids.sort_unstable();
        self.ids.dedup();
        Some(table.set(arena, &self.ids))
    }
}

impl Evaluator {
    /// A string with the one context element.
    pub(crate) fn string_with_elem(&mut self, bytes: &[u8], elem: ContextElem) -> Val {
        let id = self.contexts.intern(elem);
        let context = self.contexts.set(self.arena, &[id]);
        Val::string_with(self.arena, bytes, Some(context))
    }

    pub(crate) fn check_no_context(&mut self, s: Str, pos: Pos) -> R<()> {
        match s.context() {
            None => Ok(()),
            Some(context) => Err(self.context_refused(s, context, pos)),
        }
    }

    #[cold]
    #[inline(never)]
    fn context_refused(&mut self, s: Str, context: Context, pos: Pos) -> Thrown {
        let first = self.contexts.elem(context.ids()[0]).store_path().to_absolute(&self.settings.store_dir);
        let message = format!("the string '{}' is not allowed to refer to a store path (such as '{first}')", String::from_utf8_lossy(s.bytes()));
        self.throw(Code::Context, pos, message)
    }
}
