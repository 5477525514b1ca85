//! Sets and `let`: definitions, `inherit`, and the merging of attribute paths.
//!
//! Definitions are gathered on a stack, then sorted by symbol. Where a name has but one definition with a single name, which is nearly always
//! so, nothing more happens. Else the definitions of one name are merged: `a.b = 1; a = { c = 2; };` is `a = { b = 1; c = 2; };`.
//! As in CppNix the first definition decides whether the merged set is `rec`.
//!
//! `inherit (e) a;` reads `e` where the set stands. If `e` is cheap to repeat (a variable; in a plain set also a path from one), or there is but
//! one name, each name becomes a plain `Select`. Else `e` is one of the set's sources, and the `Select` reads a hidden slot, for which stands, until
//! binding, `Local { sym: Sym(0), index }` with the number of the source.

use super::*;

/// `inherit (a.b.c.d) x y;` reads the path for each name up to this length.
const REPEATED_PATH: usize = 4;

/// The names of a `let`, and the values that go with them.
type LetBinds<'a> = (&'a [(Sym, Pos)], &'a mut [Expr<'a>]);

/// Where a set's parts start on the parser's stacks.
#[derive(Clone, Copy)]
struct Bases {
    binds: usize,
    dynamics: usize,
    sources: usize,
}

impl<'a, 'p> Parser<'a, 'p> {
    fn bases(&self) -> Bases {
        Bases { binds: self.binds.len(), dynamics: self.dynamics.len(), sources: self.sources.len() }
    }

    /// A set, after its `{`, which is at `open`.
    pub(super) fn set(&mut self, pos: Pos, rec: bool, open: u32) -> R<Expr<'a>> {
        let bases = self.bases();
        self.definitions(T::RBrace, open, !rec)?;
        self.advance();
        self.merge_stack(bases.binds)?;
        Ok(self.make_set(pos, rec, bases))
    }

    /// `let { …; body = e; }`, after `let`: `(rec { … }).body`.
    pub(super) fn old_let(&mut self, pos: Pos) -> R<Expr<'a>> {
        let open = self.tok.start;
        self.advance();
        let set = self.set(pos, true, open)?;
        let cache = Cell::new((std::ptr::null(), 0));
        Ok(Expr::Select(self.arena.alloc(Select { pos, sym: self.known.body, set, cache })))
    }

    /// The definitions of `let … in`, up to behind the `in`.
    pub(super) fn let_binds(&mut self, open: u32) -> R<LetBinds<'a>> {
        let bases = self.bases();
        self.definitions(T::In, open, false)?;
        if let Some(dynamic) = self.dynamics.get(bases.dynamics) {
            return Err(Error::new(Code::Syntax, dynamic.pos, "dynamic attributes not allowed in let")
                .with_hint("the names that `let` binds must be known before evaluation"));
        }
        self.advance();
        self.merge_stack(bases.binds)?;
        let names = self.arena.alloc_slice_fill_iter(self.binds[bases.binds..].iter().map(|b| (b.sym, b.pos)));
        let values = self.values(bases);
        Ok((names, values))
    }

    /// Definitions up to `close`, which stays the current token. `plain`: no scope comes of them.
    fn definitions(&mut self, close: T, open: u32, plain: bool) -> R<()> {
        loop {
            match self.tok.kind {
                T::Id | T::Or | T::Quote | T::DollarCurly => self.definition(close, open)?,
                T::Inherit => self.inherit(plain)?,
                kind if kind == close => return Ok(()),
                _ => return Err(self.no_definition(close, open)),
            }
        }
    }

    /// `a.b.c = e;`
    fn definition(&mut self, close: T, open: u32) -> R<()> {
        let pos = self.pos();
        let start = self.tok.start;
        let base = self.path.len();
        if self.tok.kind == T::Id {
            // The usual case, without the stack.
            let sym = self.sym();
            self.advance();
            if self.tok.kind == T::Assign {
                self.advance();
                let value = self.expr()?;
                self.end_of_definition(start)?;
                self.set_name(&value, sym);
                self.binds.push(Bind { sym, pos, value, rest: &mut [] });
                return Ok(());
            }
            self.path.push(AttrName::Static(sym, pos));
            if self.tok.kind == T::Dot {
                self.advance();
                self.attr_path()?;
            }
        } else {
            self.attr_path()?;
        }
        if self.tok.kind != T::Assign {
            return Err(self.no_assign(close, open));
        }
        self.advance();
        // Each name of the path is a set within a set.
        let levels = (self.path.len() - base - 1) as u32;
        self.depth += levels;
        if self.depth > MAX_DEPTH {
            return Err(self.too_deep());
        }
        let value = self.expr()?;
        self.depth -= levels;
        self.end_of_definition(start)?;
        if let Some(AttrName::Static(last, _)) = self.path.last() {
            self.set_name(&value, *last);
        }
        let path = self.arena.alloc_slice_fill_iter(self.path.drain(base..));
        self.push_definition(pos, path, value, None);
        Ok(())
    }

    /// Adds a definition with a path to the stacks, or to those of `to`.
    fn push_definition(&mut self, pos: Pos, path: &'a mut [AttrName<'a>], value: Expr<'a>, to: Option<&mut Merged<'a>>) {
        let Some((first, rest)) = path.split_first_mut() else { return };
        match std::mem::replace(first, AttrName::Static(Sym(0), Pos::NONE)) {
            AttrName::Static(sym, _) => {
                let binds = to.map_or(&mut self.binds, |m| &mut m.binds);
                binds.push(Bind { sym, pos, value, rest });
            }
            AttrName::Dynamic(_, name) => {
                let value = self.nest(pos, rest, value);
                let dynamics = to.map_or(&mut self.dynamics, |m| &mut m.dynamics);
                dynamics.push(DynAttr { pos, name, value });
            }
        }
    }

    /// A function is called by the name it is first bound to, and so is the function it returns.
    fn set_name(&self, value: &Expr<'a>, name: Sym) {
        let mut value = value;
        while let Expr::Lambda(lambda) = value {
            lambda.name.set(name);
            value = &lambda.body;
        }
    }

    #[inline(always)]
    fn end_of_definition(&mut self, start: u32) -> R<()> {
        if self.tok.kind == T::Semi {
            self.advance();
            return Ok(());
        }
        Err(self.no_semicolon(start))
    }

    /// `inherit a b;` and `inherit (e) a b;`
    fn inherit(&mut self, plain: bool) -> R<()> {
        let start = self.tok.start;
        self.advance();
        let mut from = None;
        if self.tok.kind == T::LParen {
            let open = self.tok.start;
            self.advance();
            from = Some(self.expr()?);
            self.expect_close(T::RParen, open)?;
        }
        let base = self.names.len();
        loop {
            let pos = self.pos();
            let sym = match self.tok.kind {
                T::Id | T::Or => {
                    let sym = self.sym();
                    self.advance();
                    sym
                }
                T::Quote | T::DollarCurly => match self.attr_name()? {
                    AttrName::Static(sym, _) => sym,
                    AttrName::Dynamic(pos, _) => {
                        return Err(Error::new(Code::Syntax, pos, "dynamic attributes not allowed in inherit"));
                    }
                },
                T::Semi => break,
                _ => {
                    let error = self.no_semicolon(start);
                    return Err(match self.tok.kind {
                        T::Dot => error.with_hint("`inherit (a) b;` takes `b` from the set `a`"),
                        T::Comma => error.with_hint("names after `inherit` are separated by spaces alone"),
                        _ => error,
                    });
                }
            };
            self.names.push((sym, pos));
        }
        self.advance();
        let arena = self.arena;
        let select = |sym, pos, set| Expr::Select(arena.alloc(Select { pos, sym, set, cache: Cell::new((std::ptr::null(), 0)) }));
        match from {
            None => self.binds.extend(self.names.drain(base..).map(|(sym, pos)| Bind { sym, pos, value: Expr::Name { sym, pos }, rest: &mut [] })),
            Some(e) if self.names.len() == base + 1 => {
                if let Some((sym, pos)) = self.names.pop() {
                    self.binds.push(Bind { sym, pos, value: select(sym, pos, e), rest: &mut [] });
                }
            }
            Some(e) if self.names.len() > base && is_cheap(&e, if plain { REPEATED_PATH } else { 0 }) => {
                for (sym, pos) in self.names.drain(base..) {
                    self.binds.push(Bind { sym, pos, value: select(sym, pos, repeat(arena, &e)), rest: &mut [] });
                }
            }
            Some(e) => {
                // The index is within this set: its sources are counted from the set's own base when it is finished.
                let index = self.sources.len() as u32;
                self.sources.push(e);
                for (sym, pos) in self.names.drain(base..) {
                    let slot = Expr::Local { level: 0, index, sym: Sym(0), pos };
                    self.binds.push(Bind { sym, pos, value: select(sym, pos, slot), rest: &mut [] });
                }
            }
        }
        Ok(())
    }

    /// `a.b."c".${d}` onto the stack of names.
    #[inline]
    pub(super) fn attr_path(&mut self) -> R<()> {
        loop {
            let name = match self.tok.kind {
                T::Id | T::Or => {
                    let pos = self.pos();
                    let sym = self.sym();
                    self.advance();
                    AttrName::Static(sym, pos)
                }
                _ => self.attr_name()?,
            };
            self.path.push(name);
            if self.tok.kind != T::Dot {
                return Ok(());
            }
            self.advance();
        }
    }

    /// A name in quotes or in `${…}`. If it is a literal it is as good as written bare.
    fn attr_name(&mut self) -> R<AttrName<'a>> {
        let pos = self.pos();
        match self.tok.kind {
            T::Quote => Ok(match self.string()? {
                Some(expr) => AttrName::Dynamic(pos, expr),
                None => AttrName::Static(self.intern_plain(), pos),
            }),
            T::DollarCurly => {
                let open = self.tok.start;
                self.advance();
                let expr = self.expr()?;
                if self.tok.kind != T::RBrace {
                    return Err(self.unclosed(T::RBrace, open + 1));
                }
                self.advance();
                Ok(match expr {
                    Expr::Const(v) if v.as_str().is_some() => AttrName::Static(self.symbols.intern(v.as_str().map_or(b"", |s| s.bytes())), pos),
                    expr => AttrName::Dynamic(pos, expr),
                })
            }
            _ => Err(self.unexpected("an attribute name")),
        }
    }

    // ------------------------------------------------------------ finishing

    fn values(&mut self, bases: Bases) -> &'a mut [Expr<'a>] {
        if self.sources.len() > bases.sources && bases.sources > 0 {
            for bind in &mut self.binds[bases.binds..] {
                shift_source(&mut bind.value, |index| index - bases.sources as u32);
            }
        }
        let values = self.binds.drain(bases.binds..).map(|b| b.value);
        if self.sources.len() == bases.sources {
            return self.arena.alloc_slice_fill_iter(values);
        }
        self.arena.alloc_slice_fill_iter(Chain(values, self.sources.drain(bases.sources..)))
    }

    fn make_set(&mut self, pos: Pos, rec: bool, bases: Bases) -> Expr<'a> {
        let binds = &self.binds[bases.binds..];
        let nothing_more = self.dynamics.len() == bases.dynamics && self.sources.len() == bases.sources;
        if binds.is_empty() && nothing_more && !rec && !self.to_show {
            return Expr::Const(self.empty_set());
        }
        let shape = Shape::alloc(self.arena, binds.iter().map(|b| (b.sym, b.pos)), true, rec);
        let values = self.values(bases);
        let dynamics = self.arena.alloc_slice_fill_iter(self.dynamics.drain(bases.dynamics..));
        Expr::Attrs(self.arena.alloc(Attrs { pos, rec, shape, values, dynamics, template: Cell::new(std::ptr::null()) }))
    }

    /// `value` as the attribute `path` of sets within sets.
    fn nest(&mut self, pos: Pos, path: &mut [AttrName<'a>], mut value: Expr<'a>) -> Expr<'a> {
        for name in path.iter_mut().rev() {
            let bases = self.bases();
            match std::mem::replace(name, AttrName::Static(Sym(0), Pos::NONE)) {
                AttrName::Static(sym, _) => self.binds.push(Bind { sym, pos, value, rest: &mut [] }),
                AttrName::Dynamic(_, name) => self.dynamics.push(DynAttr { pos, name, value }),
            }
            value = self.make_set(pos, false, bases);
        }
        value
    }

    /// Sorts the definitions from `base` on and merges those of one name.
    #[inline]
    fn merge_stack(&mut self, base: usize) -> R<()> {
        let binds = &mut self.binds[base..];
        let mut sorted = true;
        let mut plain = true;
        for i in 0..binds.len() {
            plain &= binds[i].rest.is_empty();
            sorted &= i == 0 || binds[i - 1].sym < binds[i].sym;
        }
        if !sorted {
            binds.sort_by_key(|b| b.sym);
            plain &= binds.windows(2).all(|w| w[0].sym != w[1].sym);
        }
        if plain {
            return Ok(());
        }
        let binds: Vec<Bind<'a>> = self.binds.drain(base..).collect();
        let merged = self.merge(binds, &mut Vec::new())?;
        self.binds.extend(merged);
        Ok(())
    }

    /// Merges definitions, which are sorted by symbol and, for each, in the order they are written. `path` leads to their set.
    fn merge(&mut self, binds: Vec<Bind<'a>>, path: &mut Vec<Sym>) -> R<Vec<Bind<'a>>> {
        let mut merged = Vec::with_capacity(binds.len());
        let mut rest = binds.into_iter().peekable();
        let mut clash: Option<Box<Error>> = None;
        while let Some(first) = rest.next() {
            if rest.peek().is_none_or(|b| b.sym != first.sym) {
                let value = self.nest(first.pos, first.rest, first.value);
                merged.push(Bind { sym: first.sym, pos: first.pos, value, rest: &mut [] });
                continue;
            }
            let mut group = vec![first];
            while let Some(next) = rest.next_if(|b| b.sym == group[0].sym) {
                group.push(next);
            }
            // Of several clashes the one that comes first in the text is told.
            match self.merge_group(group, path) {
                Ok(bind) => merged.push(bind),
                Err(e) if e.code == Code::DuplicateAttribute => {
                    if clash.as_ref().is_none_or(|c| e.pos < c.pos) {
                        clash = Some(e);
                    }
                }
                Err(e) => return Err(e),
            }
        }
        match clash {
            Some(e) => Err(e),
            None => Ok(merged),
        }
    }

    /// Makes one definition of several of the same name.
    fn merge_group(&mut self, group: Vec<Bind<'a>>, path: &mut Vec<Sym>) -> R<Bind<'a>> {
        let (sym, pos) = (group[0].sym, group[0].pos);
        path.push(sym);
        if path.len() as u32 > MAX_DEPTH {
            return Err(Error::new(Code::StackOverflow, pos, "nesting too deep"));
        }
        let first_is_set = is_set(&group[0]);
        let mut into = Merged::default();
        let (mut set_pos, mut rec) = (pos, false);
        for (i, bind) in group.into_iter().enumerate() {
            if i > 0 && !(first_is_set && is_set(&bind)) {
                return Err(self.duplicate(path, bind.pos, pos));
            }
            if !bind.rest.is_empty() {
                self.push_definition(bind.pos, bind.rest, bind.value, Some(&mut into));
                continue;
            }
            match bind.value {
                Expr::Attrs(set) => {
                    if i == 0 {
                        (set_pos, rec) = (set.pos, set.rec);
                    }
                    let shift = into.sources.len() as u32;
                    let len = set.shape.len();
                    let names = set.shape.syms().iter().zip(set.shape.positions());
                    for ((&sym, &pos), value) in names.zip(set.values.iter_mut()) {
                        shift_source(value, |index| index + shift);
                        into.binds.push(Bind { sym, pos, value: take(value), rest: &mut [] });
                    }
                    into.sources.extend(set.values[len..].iter_mut().map(take));
                    for d in set.dynamics.iter_mut() {
                        into.dynamics.push(DynAttr { pos: d.pos, name: take(&mut d.name), value: take(&mut d.value) });
                    }
                }
                // The empty set, as a constant.
                Expr::Const(_) => {}
                // The first of the group is not a set: only to be told of when the next comes.
                value => into.binds.push(Bind { sym, pos, value, rest: &mut [] }),
            }
        }
        into.binds.sort_by_key(|b| b.sym);
        let merged = self.merge(into.binds, path)?;
        path.pop();
        let bases = self.bases();
        let offset = bases.sources as u32;
        self.binds.extend(merged.into_iter().map(|mut b| {
            shift_source(&mut b.value, |index| index + offset);
            b
        }));
        self.dynamics.extend(into.dynamics);
        self.sources.extend(into.sources);
        let value = self.make_set(set_pos, rec, bases);
        Ok(Bind { sym, pos, value, rest: &mut [] })
    }

    fn intern_plain(&mut self) -> Sym {
        match self.plain {
            Some((from, to)) => self.symbols.intern(&self.text[from as usize..to as usize]),
            None => self.symbols.intern(&self.buf),
        }
    }

    // ------------------------------------------------------------ errors

    #[cold]
    fn duplicate(&self, path: &[Sym], pos: Pos, before: Pos) -> Box<Error> {
        let mut name = Vec::new();
        for (i, &sym) in path.iter().enumerate() {
            if i > 0 {
                name.push(b'.');
            }
            crate::data::literal::write_name(&mut name, self.symbols.name(sym));
        }
        let name = String::from_utf8_lossy(&name);
        let (line, column) = self.line_column(before.0 - self.options.base.0);
        let mut error = Error::new(Code::DuplicateAttribute, pos, format!("attribute '{name}' already defined at {line}:{column}"));
        error.trace.push(Frame { pos: before, text: format!("'{name}' is defined here first") });
        error
    }

    #[cold]
    fn no_assign(&self, close: T, open: u32) -> Box<Error> {
        let error = self.unexpected("'=' or '.'");
        match self.tok.kind {
            T::Eq => error.with_hint("a definition is written with `=`; `==` compares"),
            T::Colon => error.with_hint("a definition is written `name = value;`"),
            T::Semi => error.with_hint("`inherit name;` takes a value from the scope around the set"),
            T::BadByte | T::BadComment => error,
            _ if close == T::In => error.with_hint(format!("`let` of line {} has no `in` yet", self.line_column(open).0)),
            _ => error,
        }
    }

    #[cold]
    fn no_semicolon(&self, start: u32) -> Box<Error> {
        let (line, _) = self.line_column(start);
        let error = self.unexpected("';'");
        let mut error = match self.tok.kind {
            T::Assign => error.with_hint(format!("the definition of line {line} lacks its `;`, or `==` is meant here")),
            T::Colon => error.with_hint("a function's arguments stand before its body: put parentheses around the function"),
            T::Comma => error.with_hint("definitions end with `;`"),
            T::Eof => error.with_hint(format!("the definition of line {line} lacks its `;`, or a bracket in it is closed too late")),
            T::BadByte | T::BadComment => error,
            _ => error.with_hint(format!("the definition of line {line} lacks its `;`")),
        };
        error.trace.push(Frame { pos: self.pos_at(start), text: "the definition starts here".into() });
        error
    }

    #[cold]
    fn no_definition(&self, close: T, open: u32) -> Box<Error> {
        let expecting = if close == T::In { "a name or 'in'" } else { "a name or '}'" };
        match self.tok.kind {
            T::Eof => {
                let (line, column) = self.line_column(open);
                let what = if close == T::In { "let" } else { "{" };
                let hint = if close == T::In { "has no `in`" } else { "is still open" };
                let mut error = self.unexpected(expecting).with_hint(format!("`{what}` of line {line}, column {column} {hint}"));
                error.trace.push(Frame { pos: self.pos_at(open), text: format!("`{what}` stands here") });
                error
            }
            T::Semi => self.unexpected(expecting).with_hint("one `;` too many?"),
            T::Comma => self.unexpected(expecting).with_hint("definitions end with `;`"),
            _ => self.unexpected(expecting),
        }
    }
}

/// The parts of a set that is being merged.
#[derive(Default)]
struct Merged<'a> {
    binds: Vec<Bind<'a>>,
    dynamics: Vec<DynAttr<'a>>,
    sources: Vec<Expr<'a>>,
}

fn is_set(bind: &Bind) -> bool {
    !bind.rest.is_empty()
        || match &bind.value {
            Expr::Attrs(_) => true,
            Expr::Const(v) => v.as_attrs().is_some(),
            _ => false,
        }
}

/// Whether it is a variable, or a path of at most `limit` names from one.
fn is_cheap(mut expr: &Expr, limit: usize) -> bool {
    for _ in 0..=limit {
        match expr {
            Expr::Name { .. } => return true,
            Expr::Select(select) => expr = &select.set,
            _ => return false,
        }
    }
    false
}

/// A copy of what `is_cheap`.
fn repeat<'a>(arena: &'a Arena, expr: &Expr<'a>) -> Expr<'a> {
    match expr {
        Expr::Name { sym, pos } => Expr::Name { sym: *sym, pos: *pos },
        Expr::Select(s) => {
            let set = repeat(arena, &s.set);
            Expr::Select(arena.alloc(Select { pos: s.pos, sym: s.sym, set, cache: Cell::new((std::ptr::null(), 0)) }))
        }
        _ => taken(),
    }
}

/// Renumbers the source that an inherited value reads, if it does.
fn shift_source(value: &mut Expr, f: impl FnOnce(u32) -> u32) {
    if let Expr::Select(select) = value {
        if let Expr::Local { index, .. } = &mut select.set {
            *index = f(*index);
        }
    }
}
