//! Patterns and subjects with the answers CppNix gives, through the public face only.
//!
//! Results are written as Nix would print them: a match as the list of its groups, a split as the
//! pieces with the groups between them. Beside them stand the patterns that have to be refused, and
//! those that would take exponential time if the matcher only backtracked.

use std::sync::atomic::AtomicBool;

use super::{Captures, Regex};

static NEVER: AtomicBool = AtomicBool::new(false);

fn texts(captures: &Captures, subject: &str) -> String {
    let mut out = String::from("[ ");
    for group in &captures[1..] {
        match group {
            Some(range) => out += &format!("\"{}\" ", &subject[range.clone()]),
            None => out += "null ",
        }
    }
    out + "]"
}

fn matched(pattern: &str, subject: &str) -> String {
    let regex = match Regex::new(pattern.as_bytes()) {
        Ok(regex) => regex,
        Err(error) => return format!("{error:?}"),
    };
    match regex.match_full(subject.as_bytes(), &NEVER) {
        Ok(Some(captures)) => texts(&captures, subject),
        Ok(None) => "null".to_owned(),
        Err(error) => format!("{error:?}"),
    }
}

fn split(pattern: &str, subject: &str) -> String {
    let regex = Regex::new(pattern.as_bytes()).unwrap();
    let (mut out, mut last) = (String::from("[ "), 0);
    for captures in regex.matches(subject.as_bytes(), &NEVER).unwrap() {
        let captures = captures.unwrap();
        let whole = captures[0].clone().unwrap();
        out += &format!("\"{}\" {} ", &subject[last..whole.start], texts(&captures, subject));
        last = whole.end;
    }
    out + &format!("\"{}\" ]", &subject[last..])
}

#[test]
fn matches_whole_subjects() {
    for (pattern, subject, expected) in [
        ("", "", "[ ]"),
        (".", "\n", "[ ]"),
        ("()", "", "[ \"\" ]"),
        ("a|", "", "[ ]"),
        ("(|a)", "", "[ \"\" ]"),
        ("a**", "aa", "[ ]"),
        ("a{2}{3}", "aaaaaa", "[ ]"),
        ("a{2,}", "aaa", "[ ]"),
        ("]", "]", "[ ]"),
        ("}", "}", "[ ]"),
        ("[]a]", "]", "[ ]"),
        ("[^]a]", "b", "[ ]"),
        ("[a-]", "-", "[ ]"),
        ("[--a]", "5", "[ ]"),
        ("[[:alpha:]]", "b", "[ ]"),
        ("[[:d:]]+", "12", "[ ]"),
        ("[[.hyphen.]]", "-", "[ ]"),
        ("[[=a=]]", "a", "[ ]"),
        ("[\\n]", "\\", "[ ]"),
        ("a^b", "a^b", "null"),
        ("^a$", "a", "[ ]"),
        ("[é]", "é", "null"),
        ("..", "é", "[ ]"),
        ("a(b)(c)", "abc", "[ \"b\" \"c\" ]"),
        ("((a)|b)*", "ab", "[ \"b\" \"a\" ]"),
        ("(b*|(b?|c)*a)+", "a", "[ \"\" \"\" ]"),
        ("[[:space:]]+([[:upper:]]+)[[:space:]]+", "  FOO   ", "[ \"FOO\" ]"),
    ] {
        assert_eq!(matched(pattern, subject), expected, "{pattern} {subject}");
    }
}

#[test]
fn refuses_patterns() {
    for pattern in [
        "\\d",
        "\\1",
        "a{",
        "{",
        "*",
        "a{3,2}",
        "a{,2}",
        ")",
        "(",
        "[a",
        "[]",
        "[a-c-e]",
        "[c-a]",
        "[[:foo:]]",
        "[[:w:]-a]",
        "\\",
        "^*",
        "a|*",
        "\\]",
        "[a-é]",
        "a{1",
        "a{x}",
    ] {
        assert_eq!(matched(pattern, ""), "Invalid", "{pattern}");
    }
    assert_eq!(matched("a{100000}", ""), "Space");
    assert_eq!(matched("(a{1000}){1000}", ""), "Space");
    assert_eq!(matched("a{4294967297}", ""), "Space");
    assert_eq!(matched(&"(".repeat(1_000_000), ""), "Space");
}

#[test]
fn searches() {
    for (pattern, subject, expected) in [
        ("a?(ab)?", "ab", r#"[ "" [ null ] "" [ null ] "b" [ null ] "" ]"#),
        ("", "abc", r#"[ "" [ ] "a" [ ] "b" [ ] "c" [ ] "" ]"#),
        ("x*", "axxb", r#"[ "" [ ] "a" [ ] "" [ ] "b" [ ] "" ]"#),
        ("^a", "aaa", r#"[ "" [ ] "aa" ]"#),
        ("a$", "aaa", r#"[ "aa" [ ] "" ]"#),
        ("(a|ab)(c|bcd)", "abcd", r#"[ "" [ "a" "bcd" ] "" ]"#),
        ("(b*(|ba)*)+b", "bcaa", r#"[ "" [ "" "" ] "caa" ]"#),
    ] {
        assert_eq!(split(pattern, subject), expected, "{pattern} {subject}");
    }
}

#[test]
fn is_linear_where_backtracking_is_exponential() {
    let subject = "a".repeat(50_000) + "b";
    for pattern in ["(a*)*c", "(a|a)*c", "(a|aa)+c", "(.*)(.*)(.*)c", "((a?)*)*c"] {
        assert_eq!(matched(pattern, &subject), "null", "{pattern}");
    }
    assert_eq!(split("(a|aa)+$", &subject), format!("[ \"{subject}\" ]"));
}
