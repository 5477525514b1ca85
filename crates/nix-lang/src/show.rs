//! Shows a tree as `nix-instantiate --parse` does (CppNix 2.26: `inherit` is kept, arguments are in alphabetical order).
//!
//! Meant for trees of `parse_to_show`. The tree has lost some of what was written: `inherit x;` is known by its value standing where its name
//! does, `inherit (e) x;` by a selection that stands there, and a path of names by selections that start at the same place. What is still to be
//! written lies on a stack, so that a tree of any depth can be shown.

use crate::ast::*;
use crate::data::literal::{write_name, write_string};
use crate::source::Pos;
use crate::symbol::{Sym, Symbols};
use crate::value::{Kind, Val};

/// The tree as text. Strings may hold bytes that are not UTF-8.
pub fn show<'a>(expr: &Expr<'a>, symbols: &Symbols<'a>) -> Vec<u8> {
    let mut printer = Printer { symbols, out: Vec::new(), todo: vec![Item::Expr(expr)], next: Vec::new() };
    while let Some(item) = printer.todo.pop() {
        match item {
            Item::Text(text) => printer.out.extend_from_slice(text.as_bytes()),
            Item::Name(sym) => write_name(&mut printer.out, symbols.name(sym)),
            Item::Expr(expr) => {
                printer.expr(expr);
                printer.todo.extend(printer.next.drain(..).rev());
            }
        }
    }
    printer.out
}

enum Item<'e, 'a> {
    Text(&'static str),
    Name(Sym),
    Expr(&'e Expr<'a>),
}

struct Printer<'e, 'a> {
    symbols: &'e Symbols<'a>,
    out: Vec<u8>,
    /// The last is written next.
    todo: Vec<Item<'e, 'a>>,
    /// What the node at hand consists of, in order.
    next: Vec<Item<'e, 'a>>,
}

/// `put!(self, "(" , Expr(e), …)`
macro_rules! put {
    ($printer:expr, $($item:expr),*) => {{ $($printer.next.push(Item::from($item));)* }};
}

impl From<&'static str> for Item<'_, '_> {
    fn from(text: &'static str) -> Self {
        Item::Text(text)
    }
}
impl From<Sym> for Item<'_, '_> {
    fn from(sym: Sym) -> Self {
        Item::Name(sym)
    }
}
impl<'e, 'a> From<&'e Expr<'a>> for Item<'e, 'a> {
    fn from(expr: &'e Expr<'a>) -> Self {
        Item::Expr(expr)
    }
}

/// Where `inherit (e)` takes its names from: names with the same one stand in one clause.
#[derive(PartialEq, Eq)]
enum Source {
    Slot(u32),
    At(Pos),
}

struct Clause<'e, 'a> {
    source: Source,
    expr: &'e Expr<'a>,
    names: Vec<(Pos, Sym)>,
}

impl<'e, 'a> Printer<'e, 'a> {
    fn expr(&mut self, expr: &'e Expr<'a>) {
        match expr {
            Expr::Const(v) => write_value(&mut self.out, *v),
            Expr::Name { sym, .. } | Expr::Local { sym, .. } => put!(self, *sym),
            Expr::WithVar(e) => put!(self, e.sym),
            Expr::CurPos(_) => put!(self, "__curPos"),
            Expr::Select(e) => {
                let mut names = vec![e.sym];
                let mut set = &e.set;
                while let Expr::Select(inner) = set {
                    if inner.pos != e.pos {
                        break;
                    }
                    names.push(inner.sym);
                    set = &inner.set;
                }
                put!(self, "(", set, ")");
                for name in names.into_iter().rev() {
                    put!(self, ".", name);
                }
            }
            Expr::SelectPath(e) => {
                put!(self, "(", &e.set, ").");
                self.path(e.path);
                if let Some(default) = &e.default {
                    put!(self, " or (", default, ")");
                }
            }
            Expr::HasAttr(e) => {
                put!(self, "((", &e.set, ") ? ");
                self.path(e.path);
                put!(self, ")");
            }
            Expr::Attrs(e) => {
                put!(self, if e.rec { "rec { " } else { "{ " });
                let len = e.shape.len();
                let names = e.shape.syms().iter().copied().zip(e.shape.positions().iter().copied());
                self.definitions(names, &e.values[..len], &e.values[len..], if e.rec { len } else { 0 });
                for d in e.dynamics.iter() {
                    put!(self, "\"${", &d.name, "}\" = ", &d.value, "; ");
                }
                put!(self, "}");
            }
            Expr::List(e) => {
                put!(self, "[ ");
                for item in e.items.iter() {
                    put!(self, "(", item, ") ");
                }
                put!(self, "]");
            }
            Expr::Lambda(e) => self.lambda(e),
            Expr::Call(e) => {
                put!(self, "(", &e.function);
                for arg in e.args.iter() {
                    put!(self, " ", arg);
                }
                put!(self, ")");
            }
            Expr::Let(e) => {
                put!(self, "(let ");
                let len = e.names.len();
                self.definitions(e.names.iter().copied(), &e.values[..len], &e.values[len..], len);
                put!(self, "in ", &e.body, ")");
            }
            Expr::With(e) => put!(self, "(with ", &e.set, "; ", &e.body, ")"),
            Expr::If(e) => put!(self, "(if ", &e.cond, " then ", &e.then, " else ", &e.otherwise, ")"),
            Expr::Assert(e) => put!(self, "assert ", &e.cond, "; ", &e.body),
            Expr::Not(e) => put!(self, "(! ", &e.operand, ")"),
            Expr::Binary(e) => {
                let (left, right) = (&e.left, &e.right);
                match e.op {
                    BinOp::Eq => put!(self, "(", left, " == ", right, ")"),
                    BinOp::NotEq => put!(self, "(", left, " != ", right, ")"),
                    BinOp::And => put!(self, "(", left, " && ", right, ")"),
                    BinOp::Or => put!(self, "(", left, " || ", right, ")"),
                    BinOp::Implies => put!(self, "(", left, " -> ", right, ")"),
                    BinOp::Update => put!(self, "(", left, " // ", right, ")"),
                    BinOp::Concat => put!(self, "(", left, " ++ ", right, ")"),
                    BinOp::Plus => put!(self, "(", left, " + ", right, ")"),
                    BinOp::Sub => put!(self, "(__sub ", left, " ", right, ")"),
                    BinOp::Mul => put!(self, "(__mul ", left, " ", right, ")"),
                    BinOp::Div => put!(self, "(__div ", left, " ", right, ")"),
                    BinOp::Less => put!(self, "(__lessThan ", left, " ", right, ")"),
                    BinOp::Greater => put!(self, "(__lessThan ", right, " ", left, ")"),
                    BinOp::LessEq => put!(self, "(! (__lessThan ", right, " ", left, "))"),
                    BinOp::GreaterEq => put!(self, "(! (__lessThan ", left, " ", right, "))"),
                }
            }
            Expr::Interp(e) => {
                put!(self, "(");
                for (i, (_, part)) in e.parts.iter().enumerate() {
                    put!(self, if i > 0 { " + " } else { "" }, part);
                }
                put!(self, ")");
            }
        }
    }

    fn path(&mut self, path: &'e [AttrName<'a>]) {
        for (i, name) in path.iter().enumerate() {
            if i > 0 {
                put!(self, ".");
            }
            match name {
                AttrName::Static(sym, _) => put!(self, *sym),
                AttrName::Dynamic(_, e) => put!(self, "\"${", e, "}\""),
            }
        }
    }

    fn lambda(&mut self, e: &'e Lambda<'a>) {
        put!(self, "(");
        if let Some(formals) = &e.formals {
            put!(self, "{ ");
            let mut list: Vec<&Formal> = formals.list.iter().collect();
            list.sort_by_key(|f| self.symbols.name(f.sym));
            for (i, formal) in list.iter().enumerate() {
                put!(self, if i > 0 { ", " } else { "" }, formal.sym);
                if let Some(default) = &formal.default {
                    put!(self, " ? ", default);
                }
            }
            if formals.ellipsis {
                put!(self, if list.is_empty() { "..." } else { ", ..." });
            }
            put!(self, if e.arg == Sym(0) { " }" } else { " } @ " });
        }
        if e.arg != Sym(0) {
            put!(self, e.arg);
        }
        put!(self, ": ", &e.body, ")");
    }

    /// The definitions of a set or `let`; `hidden` is its first hidden slot.
    fn definitions(&mut self, names: impl Iterator<Item = (Sym, Pos)>, values: &'e [Expr<'a>], sources: &'e [Expr<'a>], hidden: usize) {
        let mut definitions: Vec<(Sym, Pos, &'e Expr<'a>)> = names.zip(values).map(|((sym, pos), value)| (sym, pos, value)).collect();
        definitions.sort_by_key(|d| self.symbols.name(d.0));
        let mut plain = Vec::new();
        let mut inherited = Vec::new();
        let mut clauses: Vec<Clause<'e, 'a>> = Vec::new();
        for &(name, at, value) in &definitions {
            match value {
                Expr::Name { sym, pos } | Expr::Local { sym, pos, .. } if *sym == name && *pos == at => inherited.push(name),
                Expr::WithVar(e) if e.sym == name && e.pos == at => inherited.push(name),
                Expr::Select(e) if e.sym == name && e.pos == at => {
                    let (source, expr) = match &e.set {
                        Expr::Local { sym: Sym(0), index, .. } => match sources.get(*index as usize - hidden) {
                            Some(source) => (Source::Slot(*index), source),
                            None => (Source::At(at), &e.set),
                        },
                        set => (Source::At(root(set).unwrap_or(at)), set),
                    };
                    match clauses.iter_mut().find(|c| c.source == source) {
                        Some(clause) => clause.names.push((at, name)),
                        None => clauses.push(Clause { source, expr, names: vec![(at, name)] }),
                    }
                }
                _ => plain.push((name, value)),
            }
        }
        if !inherited.is_empty() {
            put!(self, "inherit");
            for name in inherited {
                put!(self, " ", name);
            }
            put!(self, "; ");
        }
        clauses.sort_by_key(|c| c.names.iter().map(|n| n.0).min());
        for clause in clauses {
            put!(self, "inherit (", clause.expr, ")");
            for (_, name) in clause.names {
                put!(self, " ", name);
            }
            put!(self, "; ");
        }
        for (name, value) in plain {
            put!(self, name, " = ", value, "; ");
        }
    }
}

/// Where the variable stands from which a path of names starts.
fn root(mut expr: &Expr) -> Option<Pos> {
    loop {
        match expr {
            Expr::Select(e) => expr = &e.set,
            Expr::Name { pos, .. } | Expr::Local { pos, .. } => return Some(*pos),
            Expr::WithVar(e) => return Some(e.pos),
            _ => return None,
        }
    }
}

fn write_value(out: &mut Vec<u8>, v: Val) {
    match v.kind() {
        Kind::Int(n) => out.extend_from_slice(n.to_string().as_bytes()),
        Kind::Float(x) => out.extend_from_slice(short_float(x).as_bytes()),
        Kind::String(s) => write_string(out, s.bytes()),
        Kind::Path(p) => out.extend_from_slice(p.bytes()),
        Kind::Attrs(_) => out.extend_from_slice(b"{ }"),
        Kind::List(_) => out.extend_from_slice(b"[ ]"),
        Kind::Bool(b) => out.extend_from_slice(if b { b"true" } else { b"false" }),
        Kind::Null => out.extend_from_slice(b"null"),
        _ => out.extend_from_slice("«global»".as_bytes()),
    }
}

/// A float with six significant digits, as C's `%g` writes it.
fn short_float(x: f64) -> String {
    let scientific = format!("{x:.5e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |s: &str| if s.contains('.') { s.trim_end_matches('0').trim_end_matches('.').to_string() } else { s.to_string() };
    if (-4..6).contains(&exponent) {
        return trim(&format!("{x:.*}", (5 - exponent) as usize));
    }
    format!("{}e{}{:02}", trim(mantissa), if exponent < 0 { '-' } else { '+' }, exponent.abs())
}
