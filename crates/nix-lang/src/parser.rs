//! The parser: recursive descent for what nests, a stack of operators for what does not.
//!
//! One pass over the bytes builds the tree in the arena; [`crate::scope`] then binds the variables in place. Lists of unknown length are
//! gathered on stacks that the whole parse shares, so nothing is allocated for a small list but its nodes.
//!
//! Depth. Whatever nests by brackets, strings, `if` or long attribute paths counts towards [`MAX_DEPTH`]; at that depth parser and binder
//! need at most 16 MiB of stack in a release build. Chains (`a + b + …`, `x: y: …`, `else if …`, `a.b.c…`) are read in loops and may be of any
//! length, save that each level of variables counts in the binder.
//!
//! In rooms of their own: operators, sets and `let`, functions' arguments, strings and paths, and what is said of an error.
//!
//! Not here: what a name means (`scope.rs`), and evaluation of constants, which would hide their positions.

mod errors;
mod formals;
mod operators;
mod sets;
mod strings;

use crate::arena::Arena;
use crate::ast::*;
use crate::error::{Code, Error, Frame};
use crate::lexer::{Lexer, Token, T};
use crate::source::Pos;
use crate::symbol::{Sym, Symbols};
use crate::value::{EnvRef, Flat, ListRef, Shape, Val};
use std::cell::Cell;

/// How deep expressions may nest.
pub const MAX_DEPTH: u32 = 10_000;

const RECENT_NAMES: usize = 256;

/// What the text is parsed for.
pub struct ParseOptions<'o> {
    /// The position of the first byte.
    pub base: Pos,
    /// The folder that relative paths start from; absolute.
    pub base_dir: &'o [u8],
    /// The user's home, for `~/`.
    pub home: Option<&'o [u8]>,
    /// Whether `|>` and `<|` are operators.
    pub pipe_operators: bool,
    /// The value of a global name.
    pub global: &'o dyn Fn(Sym) -> Option<Val>,
    /// All global names, for hints.
    pub global_names: &'o dyn Fn() -> Vec<Sym>,
    /// Static scopes around the text, the innermost last: names with the slot of each.
    pub outer: &'o [&'o [(Sym, u32)]],
}

pub(crate) type R<T> = Result<T, Box<Error>>;

/// Parses a text and binds its variables.
///
/// # Errors
/// `Syntax`, `DuplicateAttribute`, `UndefinedVariable`, and `StackOverflow` for what nests too deep.
pub fn parse<'a>(arena: &'a Arena, symbols: &mut Symbols<'a>, text: &[u8], options: &ParseOptions) -> R<&'a Expr<'a>> {
    parse_as(arena, symbols, text, options, false)
}

/// As `parse`, but for `show`: globals stay names, and nothing is folded. The tree is not fit for evaluation.
pub fn parse_to_show<'a>(arena: &'a Arena, symbols: &mut Symbols<'a>, text: &[u8], options: &ParseOptions) -> R<&'a Expr<'a>> {
    parse_as(arena, symbols, text, options, true)
}

fn parse_as<'a>(arena: &'a Arena, symbols: &mut Symbols<'a>, text: &[u8], options: &ParseOptions, to_show: bool) -> R<&'a Expr<'a>> {
    if u32::try_from(text.len()).ok().and_then(|len| len.checked_add(options.base.0)).is_none() {
        return Err(Error::new(Code::Syntax, options.base, "the text is longer than 4 GiB"));
    }
    let mut parser = Parser::new(arena, symbols, text, options, to_show);
    parser.advance();
    let mut expr = parser.expr()?;
    if parser.tok.kind != T::Eof {
        return Err(parser.unexpected("end of file"));
    }
    let known = parser.known;
    crate::scope::bind(arena, symbols, options, &known, to_show, &mut expr)?;
    Ok(arena.alloc(expr))
}

/// Names that the language itself refers to.
#[derive(Clone, Copy)]
pub(crate) struct Known {
    pub or: Sym,
    pub body: Sym,
    pub cur_pos: Sym,
    pub find_file: Sym,
    pub nix_path: Sym,
    pub sub: Sym,
    pub mul: Sym,
    pub div: Sym,
    pub less_than: Sym,
}

/// A definition in a set or `let`, before those of one name are merged.
pub(crate) struct Bind<'a> {
    sym: Sym,
    pos: Pos,
    value: Expr<'a>,
    /// What follows the first name of the attribute path.
    rest: &'a mut [AttrName<'a>],
}

/// An expression whose last part is yet to come.
enum Tail<'a> {
    Lambda { pos: Pos, arg: Sym, formals: Option<Formals<'a>> },
    Let { names: &'a [(Sym, Pos)], values: &'a mut [Expr<'a>] },
    With { pos: Pos, set: Expr<'a> },
    Assert { pos: Pos, text: &'a [u8], cond: Expr<'a> },
    If { pos: Pos, cond: Expr<'a>, then: Expr<'a> },
}

/// Stands where an expression was taken out.
const fn taken<'a>() -> Expr<'a> {
    Expr::Const(Val::NULL)
}

#[inline(always)]
pub(crate) fn take<'a>(expr: &mut Expr<'a>) -> Expr<'a> {
    std::mem::replace(expr, taken())
}

pub(crate) struct Parser<'a, 'p> {
    arena: &'a Arena,
    symbols: &'p mut Symbols<'a>,
    text: &'p [u8],
    options: &'p ParseOptions<'p>,
    to_show: bool,
    has_cr: bool,
    has_nul: bool,
    lexer: Lexer<'p>,
    tok: Token,
    /// Where the token before `tok` ended.
    last_end: u32,
    depth: u32,
    known: Known,
    /// Names met lately, by a hash: their bytes as two words.
    recent: Vec<((u64, u64), Sym)>,
    empty_set: Option<Val>,
    tails: Vec<Tail<'a>>,
    ops: Vec<operators::PendingOp>,
    exprs: Vec<Expr<'a>>,
    path: Vec<AttrName<'a>>,
    parts: Vec<(Pos, Expr<'a>)>,
    pieces: Vec<(Pos, strings::Piece<'a>)>,
    binds: Vec<Bind<'a>>,
    dynamics: Vec<DynAttr<'a>>,
    sources: Vec<Expr<'a>>,
    names: Vec<(Sym, Pos)>,
    formals: Vec<Formal<'a>>,
    /// Text that could not be taken as it stands in the source.
    buf: Vec<u8>,
    /// Where the plain string read last stands in the text; none if it is in the buffer.
    plain: Option<(u32, u32)>,
}

impl<'a, 'p> Parser<'a, 'p> {
    fn new(arena: &'a Arena, symbols: &'p mut Symbols<'a>, text: &'p [u8], options: &'p ParseOptions<'p>, to_show: bool) -> Self {
        let known = Known {
            or: symbols.intern(b"or"),
            body: symbols.intern(b"body"),
            cur_pos: symbols.intern(b"__curPos"),
            find_file: symbols.intern(b"__findFile"),
            nix_path: symbols.intern(b"__nixPath"),
            sub: symbols.intern(b"__sub"),
            mul: symbols.intern(b"__mul"),
            div: symbols.intern(b"__div"),
            less_than: symbols.intern(b"__lessThan"),
        };
        Parser {
            arena,
            symbols,
            text,
            options,
            to_show,
            has_cr: memchr::memchr(b'\r', text).is_some(),
            has_nul: memchr::memchr(0, text).is_some(),
            lexer: Lexer::new(text),
            tok: Token { kind: T::Eof, start: 0, end: 0 },
            last_end: 0,
            depth: 0,
            known,
            recent: vec![((0, 0), Sym(0)); RECENT_NAMES],
            empty_set: None,
            tails: Vec::new(),
            ops: Vec::new(),
            exprs: Vec::with_capacity(64),
            path: Vec::with_capacity(16),
            parts: Vec::with_capacity(16),
            pieces: Vec::with_capacity(16),
            binds: Vec::with_capacity(32),
            dynamics: Vec::new(),
            sources: Vec::new(),
            names: Vec::with_capacity(16),
            formals: Vec::with_capacity(32),
            buf: Vec::new(),
            plain: None,
        }
    }

    // ------------------------------------------------------------ tokens

    #[inline(always)]
    fn advance(&mut self) {
        self.last_end = self.tok.end;
        self.tok = self.lexer.next();
    }

    /// Goes on with the token at or after the byte `at`.
    #[inline(always)]
    fn advance_from(&mut self, at: usize) {
        self.lexer.pos = at;
        self.tok = self.lexer.next();
        self.last_end = at as u32;
    }

    #[inline(always)]
    fn pos_at(&self, offset: u32) -> Pos {
        Pos(self.options.base.0 + offset)
    }

    #[inline(always)]
    fn pos(&self) -> Pos {
        self.pos_at(self.tok.start)
    }

    #[inline(always)]
    fn tok_text(&self) -> &'p [u8] {
        &self.text[self.tok.start as usize..self.tok.end as usize]
    }

    /// The symbol of the current token. Names of up to 16 bytes, which most are, come from a small table if they were met lately.
    #[inline(always)]
    fn sym(&mut self) -> Sym {
        let (start, end) = (self.tok.start as usize, self.tok.end as usize);
        let len = end - start;
        let word = |at: usize| self.text.get(at..at + 8).map(|b| u64::from_le_bytes(b.try_into().unwrap_or_default()));
        if let (1..=16, Some(low), Some(high)) = (len, word(start), word(start + 8)) {
            // Names have no zero bytes, so these two words tell them apart.
            let name = if len > 8 { (low, high & (!0 >> (128 - 8 * len))) } else { (low & (!0 >> (64 - 8 * len)), 0) };
            let hash = (name.0 ^ name.1.rotate_left(29)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let slot = (hash >> 32) as usize % RECENT_NAMES;
            if self.recent[slot].0 == name {
                return self.recent[slot].1;
            }
            let sym = self.symbols.intern(&self.text[start..end]);
            self.recent[slot] = (name, sym);
            return sym;
        }
        self.symbols.intern(&self.text[start..end])
    }

    #[inline(always)]
    fn expect(&mut self, kind: T) -> R<()> {
        if self.tok.kind == kind {
            self.advance();
            Ok(())
        } else {
            Err(self.unexpected(kind.name()))
        }
    }

    /// `expect` for the bracket that closes the one at `open`.
    #[inline(always)]
    fn expect_close(&mut self, kind: T, open: u32) -> R<()> {
        if self.tok.kind == kind {
            self.advance();
            Ok(())
        } else {
            Err(self.unclosed(kind, open))
        }
    }

    /// The `;` after `assert e` and `with e`.
    #[inline(always)]
    fn semicolon(&mut self, keyword: &str, pos: Pos) -> R<()> {
        if self.tok.kind == T::Semi {
            self.advance();
            return Ok(());
        }
        let mut error = self.unexpected("';'").with_hint(format!("`{keyword} …` ends with `;`"));
        error.trace.push(Frame { pos, text: format!("`{keyword}` stands here") });
        Err(error)
    }

    #[inline(always)]
    fn enter(&mut self) -> R<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.too_deep());
        }
        Ok(())
    }

    // ------------------------------------------------------------ expressions

    /// Everything: functions, `let`, `with`, `assert`, `if`, and operators.
    pub(crate) fn expr(&mut self) -> R<Expr<'a>> {
        self.enter()?;
        let base = self.tails.len();
        let mut expr = loop {
            let pos = self.pos();
            match self.tok.kind {
                T::Id => {
                    let sym = self.sym();
                    self.advance();
                    match self.tok.kind {
                        T::Colon => {
                            self.advance();
                            self.tails.push(Tail::Lambda { pos, arg: sym, formals: None });
                        }
                        T::At => {
                            self.advance();
                            if self.tok.kind != T::LBrace {
                                return Err(self.unexpected("'{'"));
                            }
                            let formals = self.formals()?;
                            self.check_arg(&formals, sym, pos)?;
                            self.expect(T::Colon)?;
                            self.tails.push(Tail::Lambda { pos, arg: sym, formals: Some(formals) });
                        }
                        _ => {
                            let variable = self.variable(sym, pos);
                            break self.pipe(Some(variable), pos)?;
                        }
                    }
                }
                T::LBrace if self.is_formals() => {
                    let formals = self.formals()?;
                    let mut arg = Sym(0);
                    if self.tok.kind == T::At {
                        self.advance();
                        if self.tok.kind != T::Id {
                            return Err(self.unexpected("identifier"));
                        }
                        arg = self.sym();
                        self.check_arg(&formals, arg, self.pos())?;
                        self.advance();
                    }
                    self.expect(T::Colon)?;
                    self.tails.push(Tail::Lambda { pos, arg, formals: Some(formals) });
                }
                T::If => {
                    self.advance();
                    let cond = self.expr()?;
                    self.expect(T::Then)?;
                    let then = self.expr()?;
                    if self.tok.kind != T::Else {
                        return Err(self.no_else(pos));
                    }
                    self.advance();
                    self.tails.push(Tail::If { pos, cond, then });
                }
                T::With => {
                    self.advance();
                    let set = self.expr()?;
                    self.semicolon("with", pos)?;
                    self.tails.push(Tail::With { pos, set });
                }
                T::Assert => {
                    self.advance();
                    let start = self.tok.start as usize;
                    let cond = self.expr()?;
                    let text = self.arena.alloc_slice_copy(&self.text[start..self.last_end as usize]);
                    self.semicolon("assert", pos)?;
                    self.tails.push(Tail::Assert { pos, text, cond });
                }
                T::Let => {
                    let open = self.tok.start;
                    self.advance();
                    if self.tok.kind == T::LBrace {
                        let set = self.old_let(pos)?;
                        break self.pipe(Some(set), pos)?;
                    }
                    let (names, values) = self.let_binds(open)?;
                    self.tails.push(Tail::Let { names, values });
                }
                _ => break self.pipe(None, pos)?,
            }
        };
        while self.tails.len() > base {
            let arena = self.arena;
            expr = match self.tails.pop() {
                Some(Tail::Lambda { pos, arg, formals }) => {
                    Expr::Lambda(arena.alloc(Lambda { pos, name: Cell::new(Sym(0)), arg, formals, body: expr }))
                }
                Some(Tail::Let { names, values }) => Expr::Let(arena.alloc(Let { names, values, body: expr, template: Cell::new(std::ptr::null()) })),
                Some(Tail::With { pos, set }) => Expr::With(arena.alloc(With { pos, set, body: expr })),
                Some(Tail::Assert { pos, text, cond }) => Expr::Assert(arena.alloc(Assert { pos, text, cond, body: expr })),
                Some(Tail::If { pos, cond, then }) => Expr::If(arena.alloc(If { pos, cond, then, otherwise: expr })),
                None => break,
            };
        }
        self.depth -= 1;
        Ok(expr)
    }

    #[inline(always)]
    fn variable(&self, sym: Sym, pos: Pos) -> Expr<'a> {
        if sym == self.known.cur_pos {
            Expr::CurPos(pos)
        } else {
            Expr::Name { sym, pos }
        }
    }

    /// `e`, `e.a.b`, `e.a or d`, and the old `f or`.
    fn selection(&mut self, first: Option<Expr<'a>>, pos: Pos) -> R<Expr<'a>> {
        let mut expr = match first {
            Some(expr) => expr,
            None => self.simple()?,
        };
        if self.tok.kind == T::Dot {
            self.advance();
            let base = self.path.len();
            self.attr_path()?;
            if self.tok.kind == T::Or {
                self.enter()?;
                self.advance();
                let path = self.arena.alloc_slice_fill_iter(self.path.drain(base..));
                let at = self.pos();
                let default = Some(self.selection(None, at)?);
                self.depth -= 1;
                return Ok(Expr::SelectPath(self.arena.alloc(SelectPath { pos, set: expr, path, default })));
            }
            if self.path[base..].iter().all(|name| matches!(name, AttrName::Static(..))) {
                for name in self.path.drain(base..) {
                    if let AttrName::Static(sym, at) = name {
                        // `show` knows by one place what is one path.
                        let pos = if self.to_show { pos } else { at };
                        expr = Expr::Select(self.arena.alloc(Select { pos, sym, set: expr, cache: Cell::new((std::ptr::null(), 0)) }));
                    }
                }
                return Ok(expr);
            }
            let path = self.arena.alloc_slice_fill_iter(self.path.drain(base..));
            return Ok(Expr::SelectPath(self.arena.alloc(SelectPath { pos, set: expr, path, default: None })));
        }
        if self.tok.kind == T::Or {
            // Before `or` was a keyword it was a function's name, and `f or` still is a call with it.
            let or = Expr::Name { sym: self.known.or, pos };
            self.advance();
            return Ok(self.call(pos, expr, or));
        }
        Ok(expr)
    }

    /// What needs no operator: variables, literals, everything in brackets.
    fn simple(&mut self) -> R<Expr<'a>> {
        let pos = self.pos();
        let open = self.tok.start;
        match self.tok.kind {
            T::Id => {
                let sym = self.sym();
                self.advance();
                Ok(self.variable(sym, pos))
            }
            T::Quote => {
                let expr = match self.string()? {
                    Some(expr) => expr,
                    None => Expr::Const(Val::string(self.arena, self.plain_string())),
                };
                Ok(expr)
            }
            T::IndOpen => self.indented_string(),
            T::Path | T::HPath => self.path_literal(),
            T::LParen => {
                self.advance();
                let expr = self.expr()?;
                self.expect_close(T::RParen, open)?;
                Ok(expr)
            }
            T::LBracket => self.list(),
            T::LBrace => {
                self.advance();
                self.set(pos, false, open)
            }
            T::Rec => {
                self.advance();
                if self.tok.kind != T::LBrace {
                    return Err(self.unexpected("'{'"));
                }
                let open = self.tok.start;
                self.advance();
                self.set(pos, true, open)
            }
            T::Let => {
                self.advance();
                if self.tok.kind != T::LBrace {
                    return Err(self.unexpected("'{'").with_hint("put parentheses around `let … in …` here"));
                }
                self.old_let(pos)
            }
            T::Int => self.int(),
            T::Float => self.float(),
            T::Uri => {
                let v = Val::string(self.arena, self.tok_text());
                self.advance();
                Ok(Expr::Const(v))
            }
            T::SPath => {
                let text = self.tok_text();
                let name = Expr::Const(Val::string(self.arena, &text[1..text.len() - 1]));
                self.advance();
                let path = Expr::Name { sym: self.known.nix_path, pos };
                let args = self.arena.alloc([path, name]);
                Ok(Expr::Call(self.arena.alloc(Call { pos, function: Expr::Name { sym: self.known.find_file, pos }, args })))
            }
            _ => Err(self.no_expression()),
        }
    }

    fn int(&mut self) -> R<Expr<'a>> {
        let mut n: i64 = 0;
        for &c in self.tok_text() {
            let Some(next) = n.checked_mul(10).and_then(|n| n.checked_add(i64::from(c - b'0'))) else {
                let text = String::from_utf8_lossy(self.tok_text()).into_owned();
                return Err(Error::new(Code::Syntax, self.pos(), format!("invalid integer '{text}'"))
                    .with_hint(format!("the largest integer is {}", i64::MAX)));
            };
            n = next;
        }
        self.advance();
        Ok(Expr::Const(Val::int(self.arena, n)))
    }

    fn float(&mut self) -> R<Expr<'a>> {
        let text = String::from_utf8_lossy(self.tok_text()).into_owned();
        let mantissa = text.split(['e', 'E']).next().unwrap_or("");
        match text.parse::<f64>() {
            // Too large, or so small that it loses digits.
            Ok(x) if x.is_finite() && (x.is_normal() || mantissa.bytes().all(|c| matches!(c, b'0' | b'.'))) => {
                self.advance();
                Ok(Expr::Const(Val::float(self.arena, x)))
            }
            _ => Err(Error::new(Code::Syntax, self.pos(), format!("invalid float '{text}'"))),
        }
    }

    fn list(&mut self) -> R<Expr<'a>> {
        self.enter()?;
        let open = self.tok.start;
        self.advance();
        let base = self.exprs.len();
        while self.tok.kind != T::RBracket {
            if !starts_simple(self.tok.kind) {
                return Err(self.no_item(open));
            }
            let pos = self.pos();
            let item = self.selection(None, pos)?;
            self.exprs.push(item);
        }
        self.advance();
        self.depth -= 1;
        if self.exprs.len() == base && !self.to_show {
            return Ok(Expr::Const(Val::list(ListRef::alloc(self.arena, 0))));
        }
        let items = self.arena.alloc_slice_fill_iter(self.exprs.drain(base..));
        Ok(Expr::List(self.arena.alloc(List { items })))
    }

    fn empty_set(&mut self) -> Val {
        let arena = self.arena;
        *self.empty_set.get_or_insert_with(|| {
            let shape = Shape::alloc(arena, std::iter::empty(), true, false);
            Val::attrs(Flat::alloc(arena, shape, EnvRef::NULL, 0).attrs())
        })
    }
}

#[inline(always)]
fn starts_simple(kind: T) -> bool {
    matches!(
        kind,
        T::Id
            | T::Int
            | T::Float
            | T::Quote
            | T::IndOpen
            | T::Path
            | T::HPath
            | T::SPath
            | T::Uri
            | T::LParen
            | T::LBracket
            | T::LBrace
            | T::Rec
            | T::Let
    )
}

/// Two iterators of known length, one after the other.
struct Chain<A, B>(A, B);

impl<X, A: ExactSizeIterator<Item = X>, B: ExactSizeIterator<Item = X>> Iterator for Chain<A, B> {
    type Item = X;
    fn next(&mut self) -> Option<X> {
        self.0.next().or_else(|| self.1.next())
    }
    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = self.0.len() + self.1.len();
        (len, Some(len))
    }
}

impl<X, A: ExactSizeIterator<Item = X>, B: ExactSizeIterator<Item = X>> ExactSizeIterator for Chain<A, B> {}
