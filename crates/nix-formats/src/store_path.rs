//! Store paths: their names, how they are computed, and how they are found in longer paths.
//!
//! Purpose: a [`StorePath`] is the base name of an object in the store, `<32 base-32 digits>-<name>`. It is computed by hashing a
//! fingerprint, `type:algo:digest:store-dir:name`, and folding the digest to 20 bytes; the functions `make_*` differ in the
//! type and in what the digest is of.
//!
//! Invariants: a `StorePath` always has a valid hash part and a valid name, so it is ASCII and safe as a file name. Its order
//! is the order of its text, which is that of the references in fingerprints. Cloning one does not copy it.
//!
//! What it does not do: it asks no store whether a path exists. The store directory is a parameter, without a slash at its end.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::base32;
use crate::hash::{self, compress_hash, Format, Hash, HashType};

/// The number of digits in a hash part.
pub const HASH_LEN: usize = 32;
/// The longest name: a file name of 255 bytes, less the hash part, the dash and room for a suffix such as `.chroot`.
pub const MAX_NAME_LEN: usize = 211;
/// The end of a derivation's name.
pub const DRV_EXTENSION: &str = ".drv";

/// Why a text is not a store path, or why none can be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    #[error("store path name is empty")]
    EmptyName,
    #[error("store path name is longer than {MAX_NAME_LEN} characters: `{0}`")]
    LongName(String),
    #[error("store path name begins with the component `{component}`: `{name}`")]
    DotName { name: String, component: &'static str },
    #[error("store path name contains an illegal character, byte 0x{byte:02x} at offset {offset}: `{name}`")]
    Character { name: String, byte: u8, offset: usize },
    #[error("too short for a store path: `{0}`")]
    Short(String),
    #[error("hash part of store path is not followed by `-`: `{0}`")]
    NoDash(String),
    #[error("hash part of store path is not base 32: `{0}`")]
    HashPart(String),
    #[error("path is not in the store `{store_dir}`: `{path}`")]
    NotInStore { path: String, store_dir: String },
    #[error("fixed-output path may not have references unless it is hashed as NAR by sha256: `{0}`")]
    References(String),
    #[error("text must be hashed by sha256, not by {0}")]
    TextHash(HashType),
    #[error("not a content address: `{0}`")]
    ContentAddress(String),
    #[error(transparent)]
    Hash(#[from] hash::Error),
}

const NAME_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0;
    while b < 256 {
        table[b] = (b as u8).is_ascii_alphanumeric() || matches!(b as u8, b'+' | b'-' | b'.' | b'_' | b'?' | b'=');
        b += 1;
    }
    table
};

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Checks a name by the rules of Nix 2.24: 1 to 211 characters of `A-Za-z0-9+-._?=`, the first component before a dash neither
/// `.` nor `..`.
pub fn check_name(name: &[u8]) -> Result<&str, Error> {
    if name.is_empty() {
        return Err(Error::EmptyName);
    }
    if name.len() > MAX_NAME_LEN {
        return Err(Error::LongName(lossy(name)));
    }
    if name[0] == b'.' {
        for (component, len) in [(".", 1), ("..", 2)] {
            if name.starts_with(component.as_bytes()) && matches!(name.get(len), None | Some(b'-')) {
                return Err(Error::DotName { name: lossy(name), component });
            }
        }
    }
    let illegal = |offset: usize| Error::Character { name: lossy(name), byte: name[offset], offset };
    if let Some(offset) = name.iter().position(|&b| !NAME_BYTES[usize::from(b)]) {
        return Err(illegal(offset));
    }
    std::str::from_utf8(name).map_err(|e| illegal(e.valid_up_to()))
}

/// The base name of an object in the store.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StorePath(Arc<str>);

impl StorePath {
    /// Reads `<hash part>-<name>`.
    pub fn from_base_name(base: &[u8]) -> Result<StorePath, Error> {
        if base.len() < HASH_LEN + 1 {
            return Err(Error::Short(lossy(base)));
        }
        let (hash_part, rest) = base.split_at(HASH_LEN);
        if rest[0] != b'-' {
            return Err(Error::NoDash(lossy(base)));
        }
        if !hash_part.iter().all(|&b| base32::is_digit(b)) {
            return Err(Error::HashPart(lossy(base)));
        }
        check_name(&rest[1..])?;
        std::str::from_utf8(base).map(|text| StorePath(text.into())).map_err(|_| Error::HashPart(lossy(base)))
    }

    /// Joins 20 bytes of hash and a name.
    pub fn from_hash(digest: &[u8; 20], name: &str) -> Result<StorePath, Error> {
        check_name(name.as_bytes())?;
        let mut buffer = [0; HASH_LEN + 1 + MAX_NAME_LEN];
        base32::encode_into(digest, &mut buffer[..HASH_LEN]);
        buffer[HASH_LEN] = b'-';
        let end = HASH_LEN + 1 + name.len();
        buffer[HASH_LEN + 1..end].copy_from_slice(name.as_bytes());
        match std::str::from_utf8(&buffer[..end]) {
            Ok(text) => Ok(StorePath(text.into())),
            Err(_) => unreachable!("base-32 digits and a checked name are ASCII"),
        }
    }

    /// Reads an absolute store path in its plain spelling, as it stands in derivations.
    pub fn parse(path: &[u8], store_dir: &str) -> Result<StorePath, Error> {
        let rest = strip_store_dir(path, store_dir)?;
        if rest.contains(&b'/') {
            return Err(not_in_store(path, store_dir));
        }
        StorePath::from_base_name(rest)
    }

    pub fn base_name(&self) -> &str {
        &self.0
    }

    /// The 32 base-32 digits.
    pub fn hash_part(&self) -> &str {
        &self.0[..HASH_LEN]
    }

    pub fn name(&self) -> &str {
        &self.0[HASH_LEN + 1..]
    }

    /// Whether the name ends with `.drv`.
    pub fn is_derivation(&self) -> bool {
        self.name().ends_with(DRV_EXTENSION)
    }

    /// The absolute path.
    pub fn to_absolute(&self, store_dir: &str) -> String {
        [store_dir, "/", &self.0].concat()
    }

    /// Appends the absolute path to `out`.
    pub fn push_absolute(&self, store_dir: &str, out: &mut Vec<u8>) {
        out.reserve(store_dir.len() + 1 + self.0.len());
        out.extend_from_slice(store_dir.as_bytes());
        out.push(b'/');
        out.extend_from_slice(self.0.as_bytes());
    }
}

impl AsRef<str> for StorePath {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StorePath({})", self.0)
    }
}

fn not_in_store(path: &[u8], store_dir: &str) -> Error {
    Error::NotInStore { path: lossy(path), store_dir: store_dir.to_owned() }
}

fn strip_store_dir<'a>(path: &'a [u8], store_dir: &str) -> Result<&'a [u8], Error> {
    path.strip_prefix(store_dir.as_bytes()).and_then(|rest| rest.strip_prefix(b"/")).ok_or_else(|| not_in_store(path, store_dir))
}

/// Whether `path` is below the store directory (not the directory itself).
pub fn is_in_store(path: &[u8], store_dir: &str) -> bool {
    strip_store_dir(path, store_dir).is_ok_and(|rest| !rest.is_empty())
}

/// Splits a path below the store into the store path and what follows it: empty, or beginning with `/`.
pub fn split_store_path<'a>(path: &'a [u8], store_dir: &str) -> Result<(StorePath, &'a [u8]), Error> {
    let rest = strip_store_dir(path, store_dir)?;
    let end = memchr::memchr(b'/', rest).unwrap_or(rest.len());
    Ok((StorePath::from_base_name(&rest[..end])?, &rest[end..]))
}

/// Hashes the fingerprint that begins with what `kind` writes.
fn make_path(kind: impl FnOnce(&mut Sha256), hash: &Hash, name: &[&str], store_dir: &str) -> Result<StorePath, Error> {
    let mut hasher = Sha256::new();
    kind(&mut hasher);
    hasher.update(b":");
    hasher.update(hash.algo().name());
    hasher.update(b":");
    let mut digits = [0; 128];
    hasher.update(write_base16(hash.bytes(), &mut digits));
    hasher.update(b":");
    hasher.update(store_dir);
    hasher.update(b":");
    for part in name {
        hasher.update(part);
    }
    let digest = compress_hash::<20>(&hasher.finalize());
    match name {
        [name] => StorePath::from_hash(&digest, name),
        parts => StorePath::from_hash(&digest, &parts.concat()),
    }
}

fn write_base16<'a>(bytes: &[u8], out: &'a mut [u8; 128]) -> &'a [u8] {
    for (half, to) in bytes.chunks(32).zip(out.chunks_exact_mut(64)) {
        let mut padded = [0; 32];
        padded[..half.len()].copy_from_slice(half);
        to.copy_from_slice(&hash::base16_of_32(&padded));
    }
    &out[..bytes.len() * 2]
}

/// The path for a type such as `source` or `output:out`, without references.
pub fn make_store_path(kind: &str, hash: &Hash, name: &str, store_dir: &str) -> Result<StorePath, Error> {
    make_path(|h| h.update(kind), hash, &[name], store_dir)
}

fn make_path_with_references<'r>(
    kind: &str,
    hash: &Hash,
    name: &str,
    references: impl IntoIterator<Item = &'r StorePath>,
    self_reference: bool,
    store_dir: &str,
) -> Result<StorePath, Error> {
    let mut references: Vec<&StorePath> = references.into_iter().collect();
    references.sort_unstable();
    references.dedup();
    make_path(
        |h| {
            h.update(kind);
            for reference in references {
                h.update(b":");
                h.update(store_dir);
                h.update(b"/");
                h.update(reference.base_name());
            }
            if self_reference {
                h.update(b":self");
            }
        },
        hash,
        &[name],
        store_dir,
    )
}

/// The name of an output's path: the derivation's own for `out`, else with `-<output>` after it.
pub fn output_path_name(drv_name: &str, output: &str) -> String {
    if output == "out" {
        drv_name.to_owned()
    } else {
        [drv_name, "-", output].concat()
    }
}

/// The path of an input-addressed output. `hash` is the derivation's hash modulo its fixed-output inputs.
pub fn make_output_path(output: &str, hash: &Hash, drv_name: &str, store_dir: &str) -> Result<StorePath, Error> {
    let kind = |h: &mut Sha256| {
        h.update(b"output:");
        h.update(output);
    };
    if output == "out" {
        make_path(kind, hash, &[drv_name], store_dir)
    } else {
        make_path(kind, hash, &[drv_name, "-", output], store_dir)
    }
}

/// What of a store object is hashed for its content address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// The bytes of a regular file.
    Flat,
    /// The NAR; also called recursive.
    Nar,
    /// The bytes of a file that may have references and is named by SHA-256: derivations and `toFile`.
    Text,
}

impl Method {
    /// What stands before the hash's type in a derivation's output: nothing, `r:` or `text:`.
    pub const fn prefix(self) -> &'static str {
        match self {
            Method::Flat => "",
            Method::Nar => "r:",
            Method::Text => "text:",
        }
    }

    /// Splits `r:sha256` and the like.
    pub fn parse_with_algo(text: &str) -> Result<(Method, HashType), hash::Error> {
        let (method, algo) = if let Some(rest) = text.strip_prefix("r:") {
            (Method::Nar, rest)
        } else if let Some(rest) = text.strip_prefix("text:") {
            (Method::Text, rest)
        } else {
            (Method::Flat, text)
        };
        Ok((method, algo.parse()?))
    }
}

/// The path of an object known by its content.
///
/// References are allowed for [`Method::Text`] and for a NAR hashed by SHA-256; a reference to itself only for the latter.
pub fn make_fixed_output_path<'r>(
    method: Method,
    hash: &Hash,
    name: &str,
    references: impl IntoIterator<Item = &'r StorePath>,
    self_reference: bool,
    store_dir: &str,
) -> Result<StorePath, Error> {
    match (method, hash.algo()) {
        (Method::Nar, HashType::Sha256) => make_path_with_references("source", hash, name, references, self_reference, store_dir),
        (Method::Text, _) if self_reference => Err(Error::References(name.to_owned())),
        (Method::Text, _) => make_text_path(name, hash, references, store_dir),
        (Method::Flat | Method::Nar, _) => {
            if self_reference || references.into_iter().next().is_some() {
                return Err(Error::References(name.to_owned()));
            }
            let mut inner = Sha256::new();
            inner.update(b"fixed:out:");
            inner.update(method.prefix());
            inner.update(hash.algo().name());
            inner.update(b":");
            let mut digits = [0; 128];
            inner.update(write_base16(hash.bytes(), &mut digits));
            inner.update(b":");
            make_store_path("output:out", &Hash::sha256(inner.finalize().into()), name, store_dir)
        }
    }
}

/// The path of a text file (`toFile`, derivations). `hash` is the SHA-256 of its bytes; references may come in any order.
pub fn make_text_path<'r>(name: &str, hash: &Hash, references: impl IntoIterator<Item = &'r StorePath>, store_dir: &str) -> Result<StorePath, Error> {
    if hash.algo() != HashType::Sha256 {
        return Err(Error::TextHash(hash.algo()));
    }
    make_path_with_references("text", hash, name, references, false, store_dir)
}

/// The path of a tree copied from the file system. `nar_hash` is the SHA-256 of its NAR.
pub fn make_source_path(name: &str, nar_hash: &Hash, store_dir: &str) -> Result<StorePath, Error> {
    make_fixed_output_path(Method::Nar, nar_hash, name, [], false, store_dir)
}

/// A content address as narinfos and the store's database write it: `text:sha256:…`, `fixed:sha256:…`, `fixed:r:sha256:…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentAddress {
    pub method: Method,
    pub hash: Hash,
}

impl fmt::Display for ContentAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.method {
            Method::Text => "text:",
            Method::Flat => "fixed:",
            Method::Nar => "fixed:r:",
        };
        write!(f, "{kind}{}", self.hash.format_prefixed(Format::Base32))
    }
}

impl FromStr for ContentAddress {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (method, rest) = if let Some(rest) = text.strip_prefix("text:") {
            (Method::Text, rest)
        } else if let Some(rest) = text.strip_prefix("fixed:r:") {
            (Method::Nar, rest)
        } else if let Some(rest) = text.strip_prefix("fixed:") {
            (Method::Flat, rest)
        } else {
            return Err(Error::ContentAddress(text.to_owned()));
        };
        let (algo, digits) = rest.split_once(':').ok_or_else(|| Error::ContentAddress(text.to_owned()))?;
        let hash = Hash::parse_unprefixed(digits, algo.parse()?)?;
        if method == Method::Text && hash.algo() != HashType::Sha256 {
            return Err(Error::TextHash(hash.algo()));
        }
        Ok(ContentAddress { method, hash })
    }
}

/// The text that stands in a derivation for the path of its own output until it is known: `/` and a base-32 hash.
pub fn hash_placeholder(output: &[u8]) -> String {
    let mut hasher = Sha256::new();
    hasher.update(b"nix-output:");
    hasher.update(output);
    let mut digits = [0; 53];
    digits[0] = b'/';
    base32::encode_into(&hasher.finalize(), &mut digits[1..]);
    digits.into_iter().map(char::from).collect()
}

#[cfg(test)]
mod tests;
