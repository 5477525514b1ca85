//! Hashes and their spellings.
//!
//! Purpose: compute MD5, SHA-1, SHA-256 and SHA-512, and read and write them in each form that Nix knows: base 16, base 32 and
//! base 64, bare or behind `sha256:`, and SRI (`sha256-` and base 64).
//!
//! Invariants: a [`Hash`] has as many bytes as its type says; the rest of its array is zero, so that comparing arrays compares
//! hashes. Reading is as lenient as CppNix where real files need it (upper-case base 16, SRI without padding) and strict
//! elsewhere.
//!
//! What it does not do: BLAKE3, which CppNix guards behind an experimental feature.

mod background;

use std::fmt;
use std::io;
use std::str::FromStr;

use sha2::Digest;
use thiserror::Error;

use crate::base32;

pub use background::BackgroundHasher;

/// The hash functions that Nix knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HashType {
    Md5,
    Sha1,
    Sha256,
    Sha512,
}

impl HashType {
    pub const ALL: [HashType; 4] = [HashType::Md5, HashType::Sha1, HashType::Sha256, HashType::Sha512];

    /// The length of a digest, in bytes.
    pub const fn size(self) -> usize {
        match self {
            HashType::Md5 => 16,
            HashType::Sha1 => 20,
            HashType::Sha256 => 32,
            HashType::Sha512 => 64,
        }
    }

    /// The name as written before `:` or `-`.
    pub const fn name(self) -> &'static str {
        match self {
            HashType::Md5 => "md5",
            HashType::Sha1 => "sha1",
            HashType::Sha256 => "sha256",
            HashType::Sha512 => "sha512",
        }
    }
}

impl fmt::Display for HashType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for HashType {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        HashType::ALL.into_iter().find(|t| t.name() == name).ok_or_else(|| Error::UnknownType(name.to_owned()))
    }
}

/// The spellings of a hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Base16,
    /// Nix's own base 32 (`nix32`).
    Base32,
    Base64,
    /// The type, `-` and base 64.
    Sri,
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Ok(match name {
            "base16" => Format::Base16,
            "nix32" | "base32" => Format::Base32,
            "base64" => Format::Base64,
            "sri" => Format::Sri,
            _ => return Err(Error::UnknownFormat(name.to_owned())),
        })
    }
}

/// Why a text is not a hash.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    #[error("unknown hash algorithm: `{0}` (known are md5, sha1, sha256 and sha512)")]
    UnknownType(String),
    #[error("unknown hash format: `{0}` (known are base16, nix32, base32, base64 and sri)")]
    UnknownFormat(String),
    #[error("hash names no algorithm: `{0}`")]
    NoType(String),
    #[error("hash is of algorithm {found}, not {wanted}: `{text}`")]
    OtherType { text: String, found: HashType, wanted: HashType },
    #[error("hash is not in SRI form: `{0}`")]
    NotSri(String),
    #[error("hash has the wrong length for {algo}: `{text}`")]
    Length { text: String, algo: HashType },
    #[error("not base 16: `{0}`")]
    Base16(String),
    #[error("not base 32: `{text}` ({source})")]
    Base32 { text: String, source: base32::Error },
    #[error("not base 64: `{0}`")]
    Base64(String),
}

/// A digest and the function that made it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash {
    algo: HashType,
    bytes: [u8; 64],
}

impl Hash {
    /// Wraps a digest; `None` if its length does not fit the type.
    pub fn new(algo: HashType, digest: &[u8]) -> Option<Hash> {
        (digest.len() == algo.size()).then(|| Hash::from_digest(algo, digest))
    }

    fn from_digest(algo: HashType, digest: &[u8]) -> Hash {
        let mut bytes = [0; 64];
        bytes[..digest.len()].copy_from_slice(digest);
        Hash { algo, bytes }
    }

    /// A SHA-256 digest.
    pub fn sha256(digest: [u8; 32]) -> Hash {
        Hash::from_digest(HashType::Sha256, &digest)
    }

    /// The hash whose bytes are all zero, which stands for one that the user left empty.
    pub fn zero(algo: HashType) -> Hash {
        Hash { algo, bytes: [0; 64] }
    }

    /// Hashes `data` at once.
    pub fn of(algo: HashType, data: &[u8]) -> Hash {
        match algo {
            HashType::Md5 => Hash::from_digest(algo, &md5::Md5::digest(data)),
            HashType::Sha1 => Hash::from_digest(algo, &sha1::Sha1::digest(data)),
            HashType::Sha256 => Hash::from_digest(algo, &sha2::Sha256::digest(data)),
            HashType::Sha512 => Hash::from_digest(algo, &sha2::Sha512::digest(data)),
        }
    }

    pub fn algo(&self) -> HashType {
        self.algo
    }

    /// The digest, as many bytes as the type has.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.algo.size()]
    }

    /// The bare digits; for [`Format::Sri`] with the type before them.
    pub fn format(&self, format: Format) -> String {
        match format {
            Format::Base16 => base16(self.bytes()),
            Format::Base32 => base32::encode(self.bytes()),
            Format::Base64 => base64(self.bytes()),
            Format::Sri => {
                let digits = base64(self.bytes());
                [self.algo.name(), "-", &digits].concat()
            }
        }
    }

    /// The type, `:` and the digits; SRI as it is.
    pub fn format_prefixed(&self, format: Format) -> String {
        if format == Format::Sri {
            return self.format(format);
        }
        [self.algo.name(), ":", &self.format(format)].concat()
    }

    /// Appends the base-16 digits to `out`, without an allocation of its own.
    pub fn push_base16(&self, out: &mut Vec<u8>) {
        push_base16(self.bytes(), out);
    }

    /// Reads any form. The type comes from the text or from `algo`; where both name one, they must agree.
    pub fn parse_any(text: &str, algo: Option<HashType>) -> Result<Hash, Error> {
        Hash::parse_any_with_format(text, algo).map(|(hash, _)| hash)
    }

    /// As [`Hash::parse_any`], and says in which form the hash was written.
    pub fn parse_any_with_format(text: &str, algo: Option<HashType>) -> Result<(Hash, Format), Error> {
        let (named, rest, sri) = if let Some((name, rest)) = text.split_once(':') {
            (Some(name.parse()?), rest, false)
        } else if let Some((name, rest)) = text.split_once('-') {
            (Some(name.parse()?), rest, true)
        } else {
            (None, text, false)
        };
        let algo = match (named, algo) {
            (None, None) => return Err(Error::NoType(text.to_owned())),
            (Some(found), Some(wanted)) if found != wanted => return Err(Error::OtherType { text: text.to_owned(), found, wanted }),
            (Some(algo), _) | (None, Some(algo)) => algo,
        };
        if sri {
            return Ok((Hash::parse_base64(rest, algo)?, Format::Sri));
        }
        Hash::parse_bare(rest, algo)
    }

    /// Reads any form that names its type.
    pub fn parse_prefixed(text: &str) -> Result<Hash, Error> {
        Hash::parse_any(text, None)
    }

    /// Reads SRI and nothing else.
    pub fn parse_sri(text: &str) -> Result<Hash, Error> {
        let (name, rest) = text.split_once('-').ok_or_else(|| Error::NotSri(text.to_owned()))?;
        Hash::parse_base64(rest, name.parse()?)
    }

    /// Reads bare digits, whose base is known by their number.
    pub fn parse_unprefixed(text: &str, algo: HashType) -> Result<Hash, Error> {
        Hash::parse_bare(text, algo).map(|(hash, _)| hash)
    }

    fn parse_bare(text: &str, algo: HashType) -> Result<(Hash, Format), Error> {
        let size = algo.size();
        if text.len() == size * 2 {
            let mut bytes = [0; 64];
            decode_base16(text.as_bytes(), &mut bytes[..size]).ok_or_else(|| Error::Base16(text.to_owned()))?;
            Ok((Hash { algo, bytes }, Format::Base16))
        } else if text.len() == base32::encoded_len(size) {
            let mut bytes = [0; 64];
            base32::decode_into(text.as_bytes(), &mut bytes[..size]).map_err(|source| Error::Base32 { text: text.to_owned(), source })?;
            Ok((Hash { algo, bytes }, Format::Base32))
        } else if text.len() == size.div_ceil(3) * 4 {
            Ok((Hash::parse_base64(text, algo)?, Format::Base64))
        } else {
            Err(Error::Length { text: text.to_owned(), algo })
        }
    }

    fn parse_base64(text: &str, algo: HashType) -> Result<Hash, Error> {
        let mut bytes = [0; 64];
        match decode_base64(text.as_bytes(), &mut bytes) {
            Some(len) if len == algo.size() => Ok(Hash { algo, bytes }),
            Some(_) => Err(Error::Length { text: text.to_owned(), algo }),
            // More than 64 bytes is a matter of length, whatever else is wrong with it.
            None if text.len() > 88 => Err(Error::Length { text: text.to_owned(), algo }),
            None => Err(Error::Base64(text.to_owned())),
        }
    }
}

impl fmt::Display for Hash {
    /// `sha256:` and base 16.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.format_prefixed(Format::Base16))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

/// Folds `digest` to `N` bytes by XOR, as store paths do with `N` = 20.
pub fn compress_hash<const N: usize>(digest: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    for chunk in digest.chunks(N) {
        for (to, from) in out.iter_mut().zip(chunk) {
            *to ^= from;
        }
    }
    out
}

#[derive(Clone)]
enum State {
    Md5(md5::Md5),
    Sha1(sha1::Sha1),
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
}

/// Hashes bytes as they come, and counts them.
#[derive(Clone)]
pub struct Hasher {
    state: State,
    len: u64,
}

impl Hasher {
    pub fn new(algo: HashType) -> Hasher {
        let state = match algo {
            HashType::Md5 => State::Md5(md5::Md5::new()),
            HashType::Sha1 => State::Sha1(sha1::Sha1::new()),
            HashType::Sha256 => State::Sha256(sha2::Sha256::new()),
            HashType::Sha512 => State::Sha512(sha2::Sha512::new()),
        };
        Hasher { state, len: 0 }
    }

    pub fn update(&mut self, data: &[u8]) {
        self.len += data.len() as u64;
        match &mut self.state {
            State::Md5(h) => h.update(data),
            State::Sha1(h) => h.update(data),
            State::Sha256(h) => h.update(data),
            State::Sha512(h) => h.update(data),
        }
    }

    /// How many bytes have come.
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn finish(self) -> Hash {
        match self.state {
            State::Md5(h) => Hash::from_digest(HashType::Md5, &h.finalize()),
            State::Sha1(h) => Hash::from_digest(HashType::Sha1, &h.finalize()),
            State::Sha256(h) => Hash::from_digest(HashType::Sha256, &h.finalize()),
            State::Sha512(h) => Hash::from_digest(HashType::Sha512, &h.finalize()),
        }
    }
}

impl io::Write for Hasher {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.update(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends the base-16 digits of `bytes` to `out`.
pub fn push_base16(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend(bytes.iter().flat_map(|b| [HEX[usize::from(b >> 4)], HEX[usize::from(b & 15)]]));
}

/// The base-16 digits of 32 bytes, on the stack.
pub fn base16_of_32(bytes: &[u8; 32]) -> [u8; 64] {
    let mut out = [0; 64];
    for (pair, b) in out.chunks_exact_mut(2).zip(bytes) {
        pair[0] = HEX[usize::from(b >> 4)];
        pair[1] = HEX[usize::from(b & 15)];
    }
    out
}

fn base16(bytes: &[u8]) -> String {
    let mut out = Vec::with_capacity(bytes.len() * 2);
    push_base16(bytes, &mut out);
    out.into_iter().map(char::from).collect()
}

fn decode_base16(text: &[u8], out: &mut [u8]) -> Option<()> {
    for (pair, to) in text.chunks_exact(2).zip(out) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *to = (high << 4 | low) as u8;
    }
    Some(())
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The base-64 digits of `bytes`, padded.
pub fn base64(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let mut group = [0; 3];
        group[..chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes([0, group[0], group[1], group[2]]);
        for i in 0..4 {
            if i <= chunk.len() {
                out.push(char::from(BASE64[(bits >> (18 - 6 * i)) as usize & 63]));
            } else {
                out.push('=');
            }
        }
    }
    out
}

/// Fills `out` and says how far. Padding may be absent and the spare bits of the last digit may be set, for hashes in the wild
/// are so; a wrong amount of padding, or anything after it, is refused.
fn decode_base64(text: &[u8], out: &mut [u8]) -> Option<usize> {
    let digits = match memchr::memchr(b'=', text) {
        Some(end) => {
            let padding = &text[end..];
            if text.len() % 4 != 0 || padding.len() > 2 || padding.iter().any(|&b| b != b'=') {
                return None;
            }
            &text[..end]
        }
        None => text,
    };
    if digits.len() % 4 == 1 {
        return None;
    }
    let (mut bits, mut have, mut len) = (0u32, 0, 0);
    for &byte in digits {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        have += 6;
        if have >= 8 {
            have -= 8;
            *out.get_mut(len)? = (bits >> have) as u8;
            len += 1;
        }
    }
    Some(len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // printf hello > f; nix-hash --flat --type T [--base32] f, and --to-sri
    const HELLO: [(HashType, &str, &str, &str); 4] = [
        (HashType::Md5, "5d41402abc4b2a76b9719d911017c592", "4jqlbi14cxf6wpcajbphm40hax", "md5-XUFAKrxLKna5cZ2REBfFkg=="),
        (HashType::Sha1, "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d", "9m1skbnr5i43n3yypvda5s65vhfwdx5a", "sha1-qvTGHdzF6KLavt4PO0gs2a6pQ00="),
        (
            HashType::Sha256,
            "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
            "094qif9n4cq4fdg459qzbhg1c6wywawwaaivx0k0x8xhbyx4vwic",
            "sha256-LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=",
        ),
        (
            HashType::Sha512,
            "9b71d224bd62f3785d96d46ad3ea3d73319bfbc2890caadae2dff72519673ca72323c3d99ba5c11d7c7acc6e14b8c5da0c4663475c2e5c3adef46f73bcdec043",
            "11w1pmwfdpz9pisbhp5qiv38q6dmidq2ipcqykw3p0sb6yrqcij79rwcwcjbxyzwbdal349qbxrncbk7pmd6snljrfpiwv2pljd4wcv",
            "sha512-m3HSJL1i83hdltRq0+o9czGb+8KJDKra4t/3JRlnPKcjI8PZm6XBHXx6zG4UuMXaDEZjR1wuXDre9G9zvN7AQw==",
        ),
    ];

    #[test]
    fn every_form_of_known_hashes() {
        for (algo, hex, nix, sri) in HELLO {
            let hash = Hash::of(algo, b"hello");
            assert_eq!(hash.format(Format::Base16), hex);
            assert_eq!(hash.format(Format::Base32), nix);
            assert_eq!(hash.format(Format::Sri), sri);
            let bare = sri.split_once('-').unwrap().1;
            for text in [hex, nix, bare] {
                assert_eq!(Hash::parse_any(text, Some(algo)), Ok(hash));
                assert_eq!(Hash::parse_unprefixed(text, algo), Ok(hash));
                assert_eq!(Hash::parse_prefixed(&format!("{algo}:{text}")), Ok(hash));
                assert_eq!(Hash::parse_any(text, None), Err(Error::NoType(text.to_owned())));
            }
            assert_eq!(Hash::parse_any(sri, None), Ok(hash));
            assert_eq!(Hash::parse_sri(sri), Ok(hash));
            assert_eq!(Hash::parse_sri(sri.trim_end_matches('=')), Ok(hash));
            assert_eq!(Hash::parse_any(&hex.to_uppercase(), Some(algo)), Ok(hash));
            let mut hasher = Hasher::new(algo);
            hasher.update(b"hel");
            hasher.update(b"lo");
            assert_eq!(hasher.len(), 5);
            assert_eq!(hasher.finish(), hash);
        }
    }

    #[test]
    fn beside_others_or_not_the_hash_is_the_same() {
        let data: Vec<u8> = (0..3_000_000u32).map(|i| (i * 31 + i / 7) as u8).collect();
        for (len, step) in [(0, 1), (1000, 7), (1 << 20, 1 << 18), (data.len(), 100_000), (data.len(), data.len())] {
            let mut hasher = BackgroundHasher::new(HashType::Sha256);
            data[..len].chunks(step).for_each(|part| hasher.update(part));
            assert_eq!(hasher.len(), len as u64);
            assert_eq!(hasher.finish(), Hash::of(HashType::Sha256, &data[..len]));
        }
    }

    #[test]
    fn refusals() {
        use HashType::*;
        assert!(matches!(Hash::parse_any("sha3:00", None), Err(Error::UnknownType(_))));
        assert!(matches!(Hash::parse_any("sha256:00", Some(Sha1)), Err(Error::OtherType { .. })));
        assert!(matches!(Hash::parse_any("sha256:00", None), Err(Error::Length { .. })));
        assert!(matches!(Hash::parse_any("sha256-AAAA", None), Err(Error::Length { .. })));
        assert!(matches!(Hash::parse_any(&"z".repeat(64), Some(Sha256)), Err(Error::Base16(_))));
        assert!(matches!(Hash::parse_any(&"z".repeat(52), Some(Sha256)), Err(Error::Base32 { .. })));
        assert!(matches!(Hash::parse_any(&"!".repeat(44), Some(Sha256)), Err(Error::Base64(_))));
        assert!(matches!(Hash::parse_sri(&"0".repeat(64)), Err(Error::NotSri(_))));
        assert!(matches!(Hash::parse_sri(&format!("sha512-{}", "A".repeat(400))), Err(Error::Length { .. })));
    }

    proptest! {
        #[test]
        fn parse_never_panics(text in ".{0,100}", bare in "[0-9a-z+/=:-]{0,140}") {
            for algo in HashType::ALL {
                let _ = Hash::parse_any(&text, Some(algo));
                let _ = Hash::parse_any(&bare, Some(algo));
            }
            let _ = Hash::parse_any(&bare, None);
        }

        #[test]
        fn round_trip(digest in proptest::collection::vec(any::<u8>(), 64)) {
            for algo in HashType::ALL {
                let hash = Hash::new(algo, &digest[..algo.size()]).unwrap();
                for format in [Format::Base16, Format::Base32, Format::Base64, Format::Sri] {
                    prop_assert_eq!(Hash::parse_any_with_format(&hash.format_prefixed(format), None).unwrap(), (hash, format));
                }
            }
        }
    }
}
