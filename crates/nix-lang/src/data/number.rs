//! Numbers as text, in each of the three ways CppNix writes a float, and literals back to numbers.

/// A float as `toString` gives it: C's `%f`.
pub fn write_float_fixed(out: &mut Vec<u8>, value: f64) {
    if write_non_finite(out, value) {
        return;
    }
    out.extend_from_slice(format!("{value:.6}").as_bytes());
}

/// A float as the evaluator prints it, and as `toXML` writes it: C's `%g`.
pub fn write_float_display(out: &mut Vec<u8>, value: f64) {
    if write_non_finite(out, value) {
        return;
    }
    let scientific = format!("{value:.5e}");
    let (mantissa, exponent) = split_exponent(&scientific);
    let text = if (-4..6).contains(&exponent) { format!("{:.*}", usize::try_from(5 - exponent).unwrap_or(0), value) } else { mantissa.to_owned() };
    let text = match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => &text,
    };
    out.extend_from_slice(text.as_bytes());
    if !(-4..6).contains(&exponent) {
        write_exponent(out, exponent);
    }
}

/// A float as `toJSON` writes it since Nix 2.12: the shortest digits that read back to the same
/// number, always with a point or an exponent. Infinities and NaN become `null`.
///
/// CppNix 2.8 wrote six significant digits; the later rule is the documented one.
pub fn write_float_json(out: &mut Vec<u8>, value: f64) {
    if !value.is_finite() {
        out.extend_from_slice(b"null");
        return;
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = split_exponent(&scientific);
    if value != 0.0 && !(-4..15).contains(&exponent) {
        out.extend_from_slice(mantissa.as_bytes());
        write_exponent(out, exponent);
        return;
    }
    let text = format!("{value}");
    out.extend_from_slice(text.as_bytes());
    if !text.contains('.') {
        out.extend_from_slice(b".0");
    }
}

fn write_non_finite(out: &mut Vec<u8>, value: f64) -> bool {
    if value.is_finite() {
        return false;
    }
    if value.is_sign_negative() {
        out.push(b'-');
    }
    out.extend_from_slice(if value.is_nan() { b"nan" } else { b"inf" });
    true
}

fn split_exponent(scientific: &str) -> (&str, i32) {
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    (mantissa, exponent.parse().unwrap_or(0))
}

fn write_exponent(out: &mut Vec<u8>, exponent: i32) {
    let sign = if exponent < 0 { '-' } else { '+' };
    out.extend_from_slice(format!("e{sign}{:02}", exponent.unsigned_abs()).as_bytes());
}

/// The value of an integer literal: decimal digits only. `None` if it is above 2^63 - 1.
pub fn parse_int(digits: &[u8]) -> Option<i64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0i64, |value, digit| {
        let digit = digit.is_ascii_digit().then(|| i64::from(digit - b'0'))?;
        value.checked_mul(10)?.checked_add(digit)
    })
}

/// The value of a float literal. `None` if it overflows, or is so small that digits are lost
/// (C's `ERANGE`).
pub fn parse_float(literal: &[u8]) -> Option<f64> {
    let value: f64 = std::str::from_utf8(literal).ok()?.parse().ok()?;
    let is_zero = || {
        let mantissa = literal.split(|byte| matches!(byte, b'e' | b'E')).next();
        mantissa.unwrap_or_default().iter().all(|byte| !matches!(byte, b'1'..=b'9'))
    };
    (value.is_normal() || value == 0.0 && is_zero()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: fn(&mut Vec<u8>, f64), value: f64) -> String {
        let mut out = Vec::new();
        write(&mut out, value);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn fixed() {
        for (value, expected) in
            [(0.5, "0.500000"), (1e20, "100000000000000000000.000000"), (-1.0e-7, "-0.000000"), (2.0000005, "2.000001"), (f64::INFINITY, "inf")]
        {
            assert_eq!(text(write_float_fixed, value), expected);
        }
    }

    #[test]
    fn display() {
        for (value, expected) in [
            (0.1, "0.1"),
            (1.0, "1"),
            (100000.0, "100000"),
            (1000000.0, "1e+06"),
            (123456.7, "123457"),
            (999999.5, "1e+06"),
            (0.0001, "0.0001"),
            (0.00001234, "1.234e-05"),
            (1.5e300, "1.5e+300"),
            (-0.0, "-0"),
            (0.0, "0"),
            (2.14159265, "2.14159"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(text(write_float_display, value), expected);
        }
    }

    #[test]
    fn json() {
        for (value, expected) in [
            (0.1, "0.1"),
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (0.1234567891, "0.1234567891"),
            (1e14, "100000000000000.0"),
            (1e15, "1e+15"),
            (123456789012345.6, "123456789012345.6"),
            (1234567890123456.0, "1.234567890123456e+15"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.5e300, "1.5e+300"),
            (f64::NAN, "null"),
        ] {
            assert_eq!(text(write_float_json, value), expected);
        }
    }

    #[test]
    fn literals() {
        assert_eq!(parse_int(b"9223372036854775807"), Some(i64::MAX));
        assert_eq!(parse_int(b"9223372036854775808"), None);
        assert_eq!(parse_int(b"007"), Some(7));
        assert_eq!(parse_int(b""), None);
        assert_eq!(parse_float(b"1."), Some(1.0));
        assert_eq!(parse_float(b".5e3"), Some(500.0));
        assert_eq!(parse_float(b"0.0"), Some(0.0));
        assert_eq!(parse_float(b"1.0e400"), None);
        assert_eq!(parse_float(b"1.0e-400"), None);
        assert_eq!(parse_float(b"1.0e-310"), None);
    }
}
