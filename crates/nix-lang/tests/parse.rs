//! The parser, through what `show` makes of its trees. The expectations are CppNix 2.26's (`nix-instantiate --parse`) unless a test says else.

use nix_lang::arena::Arena;
use nix_lang::ast::{Expr, Lambda};
use nix_lang::error::{Code, Error};
use nix_lang::parser::{parse, parse_to_show, ParseOptions};
use nix_lang::show::show;
use nix_lang::source::Pos;
use nix_lang::symbol::{Sym, Symbols};
use nix_lang::value::Val;

const GLOBALS: &[&str] = &["builtins", "true", "import", "__findFile", "__nixPath", "__sub", "__lessThan", "a", "b", "c", "d", "e", "f", "g", "or"];

fn with_options<X>(use_them: impl for<'a> FnOnce(&'a Arena, &mut Symbols<'a>, &ParseOptions) -> X) -> X {
    let arena = Arena::new();
    let mut symbols = Symbols::new(&arena);
    let globals: Vec<Sym> = GLOBALS.iter().map(|name| symbols.intern(name.as_bytes())).collect();
    let options = ParseOptions {
        base: Pos(1),
        base_dir: b"/dir",
        home: Some(b"/home/me"),
        pipe_operators: true,
        global: &|sym| globals.contains(&sym).then_some(Val::NULL),
        global_names: &|| globals.clone(),
        outer: &[],
    };
    use_them(&arena, &mut symbols, &options)
}

fn shown(text: impl AsRef<[u8]>) -> Result<String, Box<Error>> {
    with_options(|arena, symbols, options| {
        // Both ways of parsing accept the same texts.
        parse(arena, symbols, text.as_ref(), options)?;
        let expr = parse_to_show(arena, symbols, text.as_ref(), options)?;
        Ok(String::from_utf8_lossy(&show(expr, symbols)).into_owned())
    })
}

fn error(text: impl AsRef<[u8]>) -> Box<Error> {
    shown(text).expect_err("the text is refused")
}

#[track_caller]
fn check(text: &str, expected: &str) {
    match shown(text) {
        Ok(found) => assert_eq!(found, expected, "of {text}"),
        Err(e) => panic!("{text}: {e}"),
    }
}

#[track_caller]
fn refuse(text: &str, message: &str, offset: u32) {
    let e = error(text);
    assert_eq!((e.message.as_str(), e.pos.0), (message, offset + 1), "of {text}");
}

/// The parser may need more stack than a test has.
fn with_stack(f: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(64 << 20).spawn(f).expect("a thread").join().expect("no panic");
}

#[test]
fn operators_bind_as_in_cppnix() {
    check("a -> b -> c || d && e == f", "(a -> (b -> (c || (d && (e == f)))))");
    check("a // b // c", "(a // (b // c))");
    check("a ++ b ++ c + d", "((a ++ (b ++ c)) + d)");
    check("a - b - c * d / e", "(__sub (__sub a b) (__div (__mul c d) e))");
    check("!a == b", "((! a) == b)");
    check("!a + b", "(! (a + b))");
    check("a == !b + c", "(a == (! (b + c)))");
    check("-a ? b", "(((__sub 0 a)) ? b)");
    check("!a ? b", "(! ((a) ? b))");
    check("a ? b ? c", "((((a) ? b)) ? c)");
    check("a <= b", "(! (__lessThan b a))");
    check("a > b == c < d", "((__lessThan b a) == (__lessThan c d))");
    check("f a b + -c", "((f a b) + (__sub 0 c))");
    check("a |> f b |> g", "(g (f b a))");
    check("f <| g a <| b", "(f (g a b))");
    for text in ["a == b == c", "a < b > c", "a != b == c"] {
        assert_eq!(error(text).code, Code::Syntax, "{text}");
    }
    assert!(error("a |> f <| b").hint.is_some());
}

#[test]
fn a_rebound_operator_is_a_call() {
    with_options(|arena, symbols, options| {
        let text = b"let __lessThan = f; in a >= b";
        let expr = parse_to_show(arena, symbols, text, options).expect("it parses");
        assert_eq!(show(expr, symbols), b"(let __lessThan = f; in (! (__lessThan a b)))");
        let Expr::Let(e) = expr else { panic!("a let") };
        let Expr::Not(e) = &e.body else { panic!("a negation") };
        let Expr::Call(e) = &e.operand else { panic!("a call") };
        assert!(matches!(e.function, Expr::Local { level: 0, index: 0, .. }));
    });
}

#[test]
fn applications_and_selections() {
    check("(f a) b [ c ]", "(f a b [ (c) ])");
    check("a.b.c or d.e", "(a).b.c or ((d).e)");
    check("(a.b).c", "((a).b).c");
    check("a.\"b c\".${\"d\"}.${e}", "(a).\"b c\".d.\"${e}\"");
    check("f or a", "(f or a)");
    check("[ f or a.or ]", "[ ((f or)) ((a).or) ]");
    check("<a/b>", "(__findFile __nixPath \"a/b\")");
    check("let { body = a; }", "(rec { body = a; }).body");
    check("__curPos", "__curPos");
}

#[test]
fn functions() {
    check("x: y: x", "(x: (y: x))");
    check("{ b, a ? b, ... } @ x: x", "({ a ? b, b, ... } @ x: x)");
    check("x@{ }: x", "({  } @ x: x)");
    check("{ a, }: a", "({ a }: a)");
    check("{ /* a */ a # b\n }: a", "({ a }: a)");
    refuse("{ a, b, a }: a", "duplicate formal function argument 'a'", 8);
    refuse("x: { a }@a: a", "duplicate formal function argument 'a'", 9);
    with_options(|arena, symbols, options| {
        let Ok(Expr::Let(e)) = parse(arena, symbols, b"let g = x: y: a; in g", options) else { panic!("a let") };
        let name = |l: &Lambda| String::from_utf8_lossy(symbols.name(l.name.get())).into_owned();
        let Expr::Lambda(outer) = &e.values[0] else { panic!("a function") };
        let Expr::Lambda(inner) = &outer.body else { panic!("a function") };
        assert_eq!((name(outer), name(inner)), ("g".into(), "g".into()));
    });
}

#[test]
fn sets_merge() {
    check("{ a.b = 1; a.c = 2; a = { d = 3; }; }", "{ a = { b = 1; c = 2; d = 3; }; }");
    check("{ a = rec { b = 1; }; a.c = b; }", "{ a = rec { b = 1; c = b; }; }");
    // Of the two sets here the first is not `rec`, so neither is what comes of them.
    check("{ a.c = b; a = rec { b = 1; }; }", "{ a = { b = 1; c = b; }; }");
    check("{ a = { b.c = 1; }; a = { b.d = 2; }; }", "{ a = { b = { c = 1; d = 2; }; }; }");
    check("{ a = { inherit (import 1) x y; }; a.z = 1; }", "{ a = { inherit ((import 1)) x y; z = 1; }; }");
    check("{ a = {}; a.b = 1; }", "{ a = { b = 1; }; }");
    check("{ a.${b} = 1; a.${b} = 2; }", "{ a = { \"${b}\" = 1; \"${b}\" = 2; }; }");
    check("rec { ${a}.b = 1; \"c\" = 2; ${\"d\"} = 3; }", "rec { c = 2; d = 3; \"${a}\" = { b = 1; }; }");
    check("let a.b = 1; a.c = 2; in a", "(let a = { b = 1; c = 2; }; in a)");
    for (text, name) in [
        ("{ a = 1; a = 2; }", "a"),
        ("{ a.b = 1; a.b = 2; }", "a.b"),
        ("{ a.b = 1; a.b.c = 2; }", "a.b"),
        ("{ a = { b.c = 1; }; a.b.c = 2; }", "a.b.c"),
        ("{ a.\"b c\" = 1; a.\"b c\" = 2; }", "a.\"b c\""),
        ("{ a = 1; inherit a; }", "a"),
        ("{ inherit (b) a; a.c = 1; }", "a"),
        ("let a = 1; a = 2; in a", "a"),
    ] {
        let e = error(text);
        assert_eq!(e.code, Code::DuplicateAttribute, "{text}");
        assert!(e.message.starts_with(&format!("attribute '{name}' already defined at 1:")), "{text}: {}", e.message);
        assert!(e.trace[0].pos < e.pos, "{text}");
    }
    refuse("let ${a} = 1; in 2", "dynamic attributes not allowed in let", 4);
    refuse("{ inherit ${a}; }", "dynamic attributes not allowed in inherit", 10);
}

#[test]
fn inherit() {
    check("{ inherit b a \"c\" ${\"d\"}; inherit (f) x y; }", "{ inherit a b c d; inherit (f) x y; }");
    check("rec { inherit a; b = a; inherit (b.c) d e; }", "rec { inherit a; inherit ((b).c) d e; b = a; }");
    check("{ inherit (f a) x y; inherit (b) z; }", "{ inherit ((f a)) x y; inherit (b) z; }");
    check("{ inherit; inherit (a); }", "{ }");
    with_options(|arena, symbols, options| {
        // `a` of the inner set is that of the function, one level out; the hidden slot follows the names.
        let Ok(Expr::Lambda(e)) = parse(arena, symbols, b"a: rec { inherit a; inherit (f a) x y; }", options) else { panic!("a function") };
        let Expr::Attrs(e) = &e.body else { panic!("a set") };
        assert_eq!((e.shape.len(), e.sources()), (3, 1));
        for (sym, value) in e.shape.syms().iter().zip(e.values.iter()) {
            match (symbols.name(*sym), value) {
                (b"a", Expr::Local { level: 1, index: 0, .. }) => {}
                (b"x" | b"y", Expr::Select(s)) => assert!(matches!(s.set, Expr::Local { level: 0, index: 3, .. })),
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn strings() {
    check(r#""a\nb\"\${c}$${d}$""#, r#""a\nb\"\${c}$\${d}$""#);
    check("\"a\r\nb\rc\"", r#""a\nb\nc""#);
    check("\"${a}\"", "(a)");
    check("\"x${a}y\"", "(\"x\" + a + \"y\")");
    check("''\n  a\n    b\n  ''", r#""a\n  b\n""#);
    check("''  a ''$ ''' ''\\n ${b}\n''", r#"("a " + "$" + " " + "''" + " " + "\n" + b + "\n")"#);
    check("''\n    ${a}\n  b''", r#"("  " + a + "\nb")"#);
    check("''\n\n  a\n \n''", r#""\na\n\n""#);
    check("''a\r\n  b''", r#""a\r\n  b""#);
    check("''''", r#""""#);
    check("http://example.org/?a=b", r#""http://example.org/?a=b""#);
    refuse("\"a\0b\"", "a string cannot contain a null byte", 2);
    assert_eq!(error("\"abc").pos, Pos(1));
    assert_eq!(error("{ a = ''b; }").pos, Pos(7));
    // What CppNix shows in several parts is one string to the evaluator.
    with_options(|arena, symbols, options| {
        let Ok(Expr::Const(v)) = parse(arena, symbols, b"''a''$b'''c''", options) else { panic!("a constant") };
        assert_eq!(v.as_str().map(|s| s.bytes()), Some(&b"a$b''c"[..]));
    });
}

#[test]
fn numbers_paths_and_what_looks_like_them() {
    check("[ 1 007 2.5 .5 1.e3 0.5e-3 9223372036854775807 ]", "[ (1) (7) (2.5) (0.5) (1000) (0.0005) (9223372036854775807) ]");
    refuse("9223372036854775808", "invalid integer '9223372036854775808'", 0);
    refuse("1.5e999", "invalid float '1.5e999'", 0);
    check("[ ./a ../b /c/../d ~/e a/b -f/g ]", "[ (/dir/a) (/b) (/d) (/home/me/e) (/dir/a/b) (/dir/-f/g) ]");
    check("./x/${a}/b${c}.d", "(/dir/x/ + a + \"/b\" + c + \".d\")");
    check("a:b", "\"a:b\"");
    check("a: b", "(a: b)");
    check("a.b/c", "/dir/a.b/c");
    check("a / b", "(__div a b)");
    check("a-b: a-b", "(a-b: a-b)");
    for text in ["./a/", "./a//b", "./a/${b}/", "/"] {
        assert_eq!(error(text).code, Code::Syntax, "{text}");
    }
}

#[test]
fn with_comes_last() {
    with_options(|arena, symbols, options| {
        let Ok(Expr::With(e)) = parse(arena, symbols, b"with a; x: with b; [ x y true ]", options) else { panic!("a with") };
        let Expr::Lambda(e) = &e.body else { panic!("a function") };
        let Expr::With(e) = &e.body else { panic!("a with") };
        let Expr::List(e) = &e.body else { panic!("a list") };
        assert!(matches!(e.items[0], Expr::Local { level: 1, index: 0, .. }));
        assert!(matches!(&e.items[1], Expr::WithVar(v) if v.levels == [0, 2]));
        assert!(matches!(e.items[2], Expr::Const(_)));
    });
}

#[test]
fn scopes_around_the_text() {
    with_options(|arena, symbols, options| {
        let (x, y) = (symbols.intern(b"x"), symbols.intern(b"y"));
        let options = ParseOptions { outer: &[&[(x, 3), (y, 4)], &[(x, 5)]], ..*options };
        let Ok(Expr::List(e)) = parse(arena, symbols, b"[ x y ]", &options) else { panic!("a list") };
        assert!(matches!(e.items[0], Expr::Local { level: 0, index: 5, .. }));
        assert!(matches!(e.items[1], Expr::Local { level: 1, index: 4, .. }));
    });
}

#[test]
fn errors_help() {
    let hint = |text: &str| error(text).hint.unwrap_or_default();
    refuse("let foo = 1; in fob", "undefined variable 'fob'", 16);
    assert_eq!(hint("let foo = 1; in fob"), "did you mean `foo`?");
    let e = error("{ a = 1\n  b = 2; }");
    assert_eq!((e.message.as_str(), e.pos.0), ("syntax error, unexpected '=', expecting ';'", 13));
    assert_eq!(e.hint.as_deref(), Some("the definition of line 1 lacks its `;`, or `==` is meant here"));
    assert_eq!(hint("{ a = [ 1 }"), "`[` of line 1, column 7 is still open");
    assert_eq!(hint("if a = b then c else d"), "comparison is written `==`");
    assert_eq!(hint("(a"), "`(` of line 1, column 1 is still open");
    assert_eq!(hint("[ a, b ]"), "items of a list are separated by spaces alone");
    assert_eq!(hint("{ a == b; }"), "a definition is written with `=`; `==` compares");
    assert_eq!(hint("if a then b"), "every `if` needs `then` and `else`");
    assert_eq!(hint("let a = 1;"), "`let` of line 1, column 1 has no `in`");
}

#[test]
fn nothing_overflows_the_stack() {
    with_stack(|| {
        let n = 100_000;
        for open in [
            "(",
            "[",
            "{ a = ",
            "rec { a = ",
            "\"${",
            "''${",
            "./a/${",
            "if ",
            "if a then ",
            "!",
            "-",
            "a.${",
            "{ a ? ",
            "let { body = ",
            "x: x (",
            "a.b or ",
        ] {
            assert_eq!(error(open.repeat(n)).code, Code::StackOverflow, "{open}");
        }
        for (chain, last) in [("x: ", "a"), ("with a; ", "b"), ("let x = a; in ", "x")] {
            assert_eq!(error(chain.repeat(n) + last).code, Code::StackOverflow, "{chain}");
        }
        assert_eq!(error("{ a".to_string() + &".a".repeat(n) + " = 1; }").code, Code::StackOverflow);
        for (chain, last) in
            [("a + ", "a"), ("a ++ ", "a"), ("a -> ", "a"), ("if a then b else ", "c"), ("f <| ", "a"), ("assert a; ", "b"), ("f ", "a")]
        {
            let text = chain.repeat(n) + last;
            assert!(shown(&text).is_ok(), "{chain}");
        }
        assert!(shown("a".to_string() + &".a".repeat(n)).is_ok());
        assert!(shown("a".to_string() + &" |> f".repeat(n)).is_ok());
    });
}

#[test]
fn any_bytes_are_answered() {
    // Cut and changed pieces of one text that has everything, from a fixed seed.
    let text: &[u8] = b"{ a ? 1, ... }@x: let y.\"z ${a}\" = ''\n  b ''$ ''\\n ${ rec { inherit (x) c; } }\n''; in [ ./p/${a}/q <n/m> ~/h http://u 1.5 ] /* c */ ++ a.b or (-1 |> f) # d\n";
    let mut seed = 1_u64;
    let mut next = |limit: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % limit
    };
    for _ in 0..20_000 {
        let mut mutant = text[next(text.len())..].to_vec();
        mutant.truncate(next(mutant.len() + 1));
        for _ in 0..next(4) {
            if !mutant.is_empty() {
                let at = next(mutant.len());
                mutant[at] = if next(2) == 0 { next(256) as u8 } else { text[next(text.len())] };
            }
        }
        let _ = shown(&mutant);
    }
}
