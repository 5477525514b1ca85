//! Version strings and package names, as `nix-env -u` has always compared them.

use std::cmp::Ordering;

/// A package name split by [`parse_drv_name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrvName<'a> {
    pub name: &'a [u8],
    /// Empty if there is none.
    pub version: &'a [u8],
}

/// Splits at the first dash that is followed by something other than a letter.
///
/// A dash at the very end does not split.
pub fn parse_drv_name(full: &[u8]) -> DrvName<'_> {
    let dash = full.windows(2).position(|pair| pair[0] == b'-' && !pair[1].is_ascii_alphabetic());
    match dash {
        Some(at) => DrvName { name: &full[..at], version: &full[at + 1..] },
        None => DrvName { name: full, version: b"" },
    }
}

/// The components of a version: runs of digits and runs of anything else, with `.` and `-`
/// between them left out.
#[derive(Clone, Debug)]
pub struct Components<'a>(&'a [u8]);

/// See [`Components`].
pub fn components(version: &[u8]) -> Components<'_> {
    Components(version)
}

impl<'a> Iterator for Components<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let is_separator = |byte: &u8| matches!(byte, b'.' | b'-');
        let start = self.0.iter().position(|byte| !is_separator(byte));
        let rest = &self.0[start.unwrap_or(self.0.len())..];
        let is_number = rest.first()?.is_ascii_digit();
        let end = rest.iter().position(|byte| is_separator(byte) || byte.is_ascii_digit() != is_number).unwrap_or(rest.len());
        let (component, rest) = rest.split_at(end);
        self.0 = rest;
        Some(component)
    }
}

/// Compares two versions component by component; a version that ends is continued with empty
/// components.
pub fn compare(left: &[u8], right: &[u8]) -> Ordering {
    let (mut left, mut right) = (components(left), components(right));
    loop {
        let (a, b) = (left.next(), right.next());
        if a.is_none() && b.is_none() {
            return Ordering::Equal;
        }
        let (a, b) = (a.unwrap_or_default(), b.unwrap_or_default());
        if is_less(a, b) {
            return Ordering::Less;
        }
        if is_less(b, a) {
            return Ordering::Greater;
        }
    }
}

fn is_less(a: &[u8], b: &[u8]) -> bool {
    match (as_number(a), as_number(b)) {
        (Some(a), Some(b)) => a < b,
        (None, Some(_)) if a.is_empty() => true,
        _ if a == b"pre" && b != b"pre" => true,
        _ if b == b"pre" => false,
        // A letter comes before a number: 2.3a < 2.3.1.
        (_, Some(_)) => true,
        (Some(_), _) => false,
        (None, None) => a < b,
    }
}

/// Numbers are C `int`s; a longer run of digits compares as text, as it does in CppNix.
fn as_number(component: &[u8]) -> Option<i32> {
    if !component.first()?.is_ascii_digit() {
        return None;
    }
    std::str::from_utf8(component).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_versions() {
        let split = |v: &'static str| components(v.as_bytes()).map(String::from_utf8_lossy).collect::<Vec<_>>().join(" ");
        assert_eq!(split("1.2.3pre4-git"), "1 2 3 pre 4 git");
        assert_eq!(split("..--"), "");
        assert_eq!(split(""), "");
        assert_eq!(split("1_a+b.0"), "1 _a+b 0");
    }

    #[test]
    fn compares_versions() {
        use Ordering::{Equal, Greater, Less};
        for (left, right, expected) in [
            ("1.0", "2.3", Less),
            ("2.1", "2.3", Less),
            ("2.3", "2.3", Equal),
            ("2.5", "2.3", Greater),
            ("3.1", "2.3", Greater),
            ("2.3.1", "2.3", Greater),
            ("2.3.1", "2.3a", Greater),
            ("2.3pre1", "2.3", Less),
            ("2.3pre3", "2.3pre12", Less),
            ("2.3a", "2.3c", Less),
            ("2.3pre1", "2.3c", Less),
            ("2.3pre1", "2.3q", Less),
            ("", "a", Less),
            ("", "pre", Greater),
            ("1.", "1", Equal),
            ("01", "1", Equal),
            ("99999999999", "5", Less),
            ("99999999999", "199999999999", Greater),
        ] {
            assert_eq!(compare(left.as_bytes(), right.as_bytes()), expected, "{left} {right}");
            let reverse = compare(right.as_bytes(), left.as_bytes());
            assert_eq!(reverse, expected.reverse(), "{right} {left}");
        }
    }

    #[test]
    fn parses_names() {
        for (full, name, version) in [
            ("nix-0.12pre1876", "nix", "0.12pre1876"),
            ("apache-httpd-2.0.48", "apache-httpd", "2.0.48"),
            ("a-", "a-", ""),
            ("a--", "a", "-"),
            ("a-.b", "a", ".b"),
            ("-1", "", "1"),
            ("hello", "hello", ""),
        ] {
            let parsed = parse_drv_name(full.as_bytes());
            assert_eq!(parsed.name, name.as_bytes(), "{full}");
            assert_eq!(parsed.version, version.as_bytes(), "{full}");
        }
    }
}
