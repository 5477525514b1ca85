//! The order of versions: epoch, upstream version, revision. Each part is read as pairs of what is no digit and the number after
//! it; in the first, a tilde sorts before everything, the end of the part included, then letters, then all else.

use std::cmp::Ordering;

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a version: `{0}`")]
pub struct VersionError(String);

/// Which version is the later one, as dpkg orders them. The error is of an epoch that is no number.
pub fn compare(one: &str, other: &str) -> Result<Ordering, VersionError> {
    let (one, other) = (Parts::split(one)?, Parts::split(other)?);
    Ok(compare_numbers(one.epoch, other.epoch)
        .then_with(|| compare_parts(one.upstream, other.upstream))
        .then_with(|| compare_parts(one.revision, other.revision)))
}

struct Parts<'a> {
    epoch: &'a [u8],
    upstream: &'a [u8],
    revision: &'a [u8],
}

impl<'a> Parts<'a> {
    fn split(version: &'a str) -> Result<Self, VersionError> {
        let (epoch, rest) = match version.split_once(':') {
            Some((epoch, _)) if epoch.is_empty() || !epoch.bytes().all(|byte| byte.is_ascii_digit()) => {
                return Err(VersionError(version.to_owned()));
            }
            Some((epoch, rest)) => (epoch, rest),
            None => ("0", version),
        };
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
        Ok(Self { epoch: epoch.as_bytes(), upstream: upstream.as_bytes(), revision: revision.as_bytes() })
    }
}

fn compare_parts(mut one: &[u8], mut other: &[u8]) -> Ordering {
    loop {
        let texts = (take(&mut one, |byte| !byte.is_ascii_digit()), take(&mut other, |byte| !byte.is_ascii_digit()));
        let numbers = (take(&mut one, u8::is_ascii_digit), take(&mut other, u8::is_ascii_digit));
        let order = compare_texts(texts.0, texts.1).then_with(|| compare_numbers(numbers.0, numbers.1));
        if order.is_ne() || (one.is_empty() && other.is_empty()) {
            return order;
        }
    }
}

/// Cuts off the longest beginning whose bytes are all as wanted.
fn take<'a>(text: &mut &'a [u8], is_wanted: impl Fn(&u8) -> bool) -> &'a [u8] {
    let end = text.iter().position(|byte| !is_wanted(byte)).unwrap_or(text.len());
    let (found, rest) = text.split_at(end);
    *text = rest;
    found
}

fn compare_texts(one: &[u8], other: &[u8]) -> Ordering {
    let weights = |text: &[u8]| -> Vec<i32> { text.iter().map(|byte| weight(*byte)).chain([0]).collect() };
    if one == other {
        return Ordering::Equal;
    }
    weights(one).cmp(&weights(other))
}

fn weight(byte: u8) -> i32 {
    match byte {
        b'~' => -1,
        byte if byte.is_ascii_alphabetic() => i32::from(byte),
        byte => i32::from(byte) + 256,
    }
}

/// Numbers of any length; none is 0.
fn compare_numbers(one: &[u8], other: &[u8]) -> Ordering {
    let significant = |digits: &'_ [u8]| digits.iter().position(|digit| *digit != b'0').unwrap_or(digits.len());
    let (one, other) = (&one[significant(one)..], &other[significant(other)..]);
    one.len().cmp(&other.len()).then_with(|| one.cmp(other))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_orders() {
        for ordered in [
            &["1.0~~", "1.0~~a", "1.0~", "1.0", "1.0a", "1.0+", "1.0.1"][..],
            &["1.0~rc1-1", "1.0-1~bpo1", "1.0-1", "1.0-1+b1", "1.0-1.1", "1.0-2", "1.0-10"],
            &["9", "1:1", "2:0", "18446744073709551616:0"],
        ] {
            for (index, one) in ordered.iter().enumerate() {
                for (place, other) in ordered.iter().enumerate() {
                    assert_eq!(compare(one, other), Ok(index.cmp(&place)), "{one} {other}");
                }
            }
        }
        assert!(compare("a:1", "1").is_err() && compare(":1", "1").is_err());
    }

    proptest! {
        #[test]
        fn it_is_an_order(one in "[0-9a~+.:-]{0,8}", other in "[0-9a~+.:-]{0,8}", third in "\\PC{0,8}") {
            if let (Ok(first), Ok(second), Ok(last)) = (compare(&one, &other), compare(&other, &third), compare(&one, &third)) {
                prop_assert_eq!(compare(&other, &one), Ok(first.reverse()));
                if first == second {
                    prop_assert_eq!(last, first);
                }
            }
        }
    }
}
