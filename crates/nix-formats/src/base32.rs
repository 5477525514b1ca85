//! Nix's base 32: an alphabet without `e`, `o`, `u` and `t`, digits from the last to the first.
//!
//! The bytes are read as one little-endian number whose most significant digit comes first. Twenty bytes are exactly 32
//! digits; other sizes leave spare bits in the first digit, which must be zero, so that a value has one spelling only.

use thiserror::Error;

/// The digits, by value.
pub const ALPHABET: &[u8; 32] = b"0123456789abcdfghijklmnpqrsvwxyz";

const INVALID: u8 = 0xff;

const VALUES: [u8; 256] = {
    let mut values = [INVALID; 256];
    let mut i = 0;
    while i < 32 {
        values[ALPHABET[i] as usize] = i as u8;
        i += 1;
    }
    values
};

/// Why a text is not base 32.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    #[error("not a base-32 digit: byte 0x{byte:02x} at offset {offset}")]
    Digit { byte: u8, offset: usize },
    #[error("base-32 text of {len} digits does not fill whole bytes")]
    Length { len: usize },
    #[error("base-32 text has spare bits that are not zero in its first digit")]
    SpareBits,
}

/// The digits that `len` bytes take.
pub const fn encoded_len(len: usize) -> usize {
    (len * 8).div_ceil(5)
}

/// Whether `byte` is one of the 32 digits.
pub const fn is_digit(byte: u8) -> bool {
    VALUES[byte as usize] != INVALID
}

/// Writes `bytes` to `out`, whose length must be [`encoded_len`] of theirs.
pub fn encode_into(bytes: &[u8], out: &mut [u8]) {
    assert_eq!(out.len(), encoded_len(bytes.len()));
    for (n, digit) in out.iter_mut().rev().enumerate() {
        let (i, j) = (n * 5 / 8, n * 5 % 8);
        let low = u16::from(bytes[i]);
        let high = u16::from(bytes.get(i + 1).copied().unwrap_or(0));
        *digit = ALPHABET[usize::from(((high << 8 | low) >> j) & 0x1f)];
    }
}

/// The digits of `bytes`.
pub fn encode(bytes: &[u8]) -> String {
    let mut out = vec![0; encoded_len(bytes.len())];
    encode_into(bytes, &mut out);
    out.into_iter().map(char::from).collect()
}

/// Reads `text` into `out`, whose length decides how many digits there must be.
pub fn decode_into(text: &[u8], out: &mut [u8]) -> Result<(), Error> {
    if text.len() != encoded_len(out.len()) {
        return Err(Error::Length { len: text.len() });
    }
    out.fill(0);
    for (n, &byte) in text.iter().rev().enumerate() {
        let value = VALUES[usize::from(byte)];
        if value == INVALID {
            return Err(Error::Digit { byte, offset: text.len() - 1 - n });
        }
        let (i, j) = (n * 5 / 8, n * 5 % 8);
        let wide = u16::from(value) << j;
        out[i] |= wide as u8;
        let high = (wide >> 8) as u8;
        match out.get_mut(i + 1) {
            Some(next) => *next |= high,
            None if high != 0 => return Err(Error::SpareBits),
            None => {}
        }
    }
    Ok(())
}

/// The bytes that `text` spells.
pub fn decode(text: &[u8]) -> Result<Vec<u8>, Error> {
    let len = text.len() * 5 / 8;
    if encoded_len(len) != text.len() {
        return Err(Error::Length { len: text.len() });
    }
    let mut out = vec![0; len];
    decode_into(text, &mut out)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_vector() {
        // nix-hash --type sha1 --to-base32 of the SHA-1 of nothing
        let bytes: Vec<u8> =
            (0..20).map(|i| u8::from_str_radix(&"da39a3ee5e6b4b0d3255bfef95601890afd80709"[i * 2..i * 2 + 2], 16).unwrap()).collect();
        assert_eq!(encode(&bytes), "143xibwh31h9bvxzalr0sjvbbvpa6ffs");
        assert_eq!(decode(b"143xibwh31h9bvxzalr0sjvbbvpa6ffs").unwrap(), bytes);
    }

    #[test]
    fn refusals() {
        assert_eq!(decode(b"e0"), Err(Error::Digit { byte: b'e', offset: 0 }));
        assert_eq!(decode(b"z0"), Err(Error::SpareBits));
        assert_eq!(decode(b"0"), Err(Error::Length { len: 1 }));
        assert_eq!(decode(b""), Ok(vec![]));
    }

    proptest! {
        #[test]
        fn round_trip(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(decode(encode(&bytes).as_bytes()).unwrap(), bytes);
        }

        #[test]
        fn decode_never_panics(text in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(bytes) = decode(&text) {
                prop_assert_eq!(encode(&bytes).into_bytes(), text);
            }
        }
    }
}
