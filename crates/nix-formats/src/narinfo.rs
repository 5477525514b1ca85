//! Narinfo: what a binary cache says of one store path, and the text that its signatures are over.
//!
//! Invariants: what is printed has CppNix's fields in CppNix's order, with references and signatures sorted. Reading keeps to the
//! fields that it knows and skips others, so that a cache may say more.
//!
//! What it does not do: it neither makes nor checks signatures.

use std::collections::BTreeSet;
use std::fmt::Write;

use thiserror::Error;

use crate::hash::{self, Format, Hash, HashType};
use crate::store_path::{self, ContentAddress, StorePath};

/// The contents of a `.narinfo` file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NarInfo {
    pub store_path: StorePath,
    /// Where the NAR is, relative to the cache.
    pub url: String,
    /// `none`, `xz`, `zstd` and so on; what a file does not say is `bzip2`.
    pub compression: String,
    /// Of the compressed file.
    pub file_hash: Option<Hash>,
    pub file_size: Option<u64>,
    /// SHA-256 of the NAR.
    pub nar_hash: Hash,
    pub nar_size: u64,
    pub references: BTreeSet<StorePath>,
    pub deriver: Option<StorePath>,
    /// Each is a key's name, `:` and base 64.
    pub signatures: BTreeSet<String>,
    pub ca: Option<ContentAddress>,
}

/// Why a text is not a narinfo.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    #[error("narinfo is not UTF-8")]
    Utf8,
    #[error("narinfo, line {line}: `Name: value` expected")]
    Line { line: usize },
    #[error("narinfo, line {line}: `{field}` occurs twice")]
    Duplicate { line: usize, field: &'static str },
    #[error("narinfo, line {line}: `{field}` is not a number")]
    Number { line: usize, field: &'static str },
    #[error("narinfo, line {line}: {source}")]
    StorePath { line: usize, source: store_path::Error },
    #[error("narinfo, line {line}: {source}")]
    Hash { line: usize, source: hash::Error },
    #[error("narinfo, line {line}: a NAR is hashed by sha256 only")]
    HashType { line: usize },
    #[error("narinfo, line {line}: signature without a key's name")]
    Signature { line: usize },
    #[error("narinfo has no `{0}`, or an empty one")]
    Missing(&'static str),
}

/// Puts a value into a field that may occur once.
fn set<T>(field: &mut Option<T>, value: T, name: &'static str, line: usize) -> Result<(), Error> {
    match field.replace(value) {
        Some(_) => Err(Error::Duplicate { line, field: name }),
        None => Ok(()),
    }
}

impl NarInfo {
    /// Reads a narinfo.
    pub fn parse(text: &[u8], store_dir: &str) -> Result<NarInfo, Error> {
        let text = std::str::from_utf8(text).map_err(|_| Error::Utf8)?;
        let (mut path, mut url, mut compression, mut ca) = (None, None, None, None);
        let (mut file_hash, mut file_size, mut nar_hash, mut nar_size) = (None, None, None, None);
        let (mut references, mut deriver) = (None, None);
        let mut signatures = BTreeSet::new();
        for (i, content) in text.split_inclusive('\n').enumerate() {
            let line = i + 1;
            // A line without an end is a file cut short.
            let content = content.strip_suffix('\n').ok_or(Error::Line { line })?;
            let (name, value) = content.split_once(':').ok_or(Error::Line { line })?;
            let value = match value.strip_prefix(' ') {
                Some(value) => value,
                None if value.is_empty() => value,
                None => return Err(Error::Line { line }),
            };
            let number = |field| {
                let digits = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
                let parsed = if digits { value.parse::<u64>().ok() } else { None };
                parsed.ok_or(Error::Number { line, field })
            };
            let hash = || Hash::parse_prefixed(value).map_err(|source| Error::Hash { line, source });
            let bad_path = |source| Error::StorePath { line, source };
            match name {
                "StorePath" => {
                    let value = StorePath::parse(value.as_bytes(), store_dir).map_err(bad_path)?;
                    set(&mut path, value, "StorePath", line)?;
                }
                "URL" => set(&mut url, value.to_owned(), "URL", line)?,
                "Compression" => set(&mut compression, value.to_owned(), "Compression", line)?,
                "FileHash" => set(&mut file_hash, hash()?, "FileHash", line)?,
                "FileSize" => set(&mut file_size, number("FileSize")?, "FileSize", line)?,
                "NarHash" => {
                    let value = hash()?;
                    if value.algo() != HashType::Sha256 {
                        return Err(Error::HashType { line });
                    }
                    set(&mut nar_hash, value, "NarHash", line)?;
                }
                "NarSize" => set(&mut nar_size, number("NarSize")?, "NarSize", line)?,
                "References" => {
                    let value = value
                        .split(' ')
                        .filter(|reference| !reference.is_empty())
                        .map(|reference| StorePath::from_base_name(reference.as_bytes()).map_err(bad_path))
                        .collect::<Result<BTreeSet<_>, _>>()?;
                    set(&mut references, value, "References", line)?;
                }
                "Deriver" if value == "unknown-deriver" => {}
                "Deriver" => {
                    let value = StorePath::from_base_name(value.as_bytes()).map_err(bad_path)?;
                    set(&mut deriver, value, "Deriver", line)?;
                }
                "Sig" => {
                    if !value.split_once(':').is_some_and(|(key, sig)| !key.is_empty() && !sig.is_empty()) {
                        return Err(Error::Signature { line });
                    }
                    signatures.insert(value.to_owned());
                }
                // An empty address is none.
                "CA" if value.is_empty() => {}
                "CA" => set(&mut ca, value.parse::<ContentAddress>().map_err(bad_path)?, "CA", line)?,
                _ => {}
            }
        }
        Ok(NarInfo {
            store_path: path.ok_or(Error::Missing("StorePath"))?,
            url: url.filter(|url| !url.is_empty()).ok_or(Error::Missing("URL"))?,
            compression: compression.filter(|c| !c.is_empty()).unwrap_or_else(|| "bzip2".to_owned()),
            file_hash,
            file_size: file_size.filter(|&size| size != 0),
            nar_hash: nar_hash.ok_or(Error::Missing("NarHash"))?,
            nar_size: nar_size.filter(|&size| size != 0).ok_or(Error::Missing("NarSize"))?,
            references: references.unwrap_or_default(),
            deriver,
            signatures,
            ca,
        })
    }

    /// The text of the file.
    pub fn print(&self, store_dir: &str) -> String {
        let mut out = String::with_capacity(512);
        let mut field = |name: &str, value: &str| {
            for part in [name, ": ", value, "\n"] {
                out.push_str(part);
            }
        };
        field("StorePath", &self.store_path.to_absolute(store_dir));
        field("URL", &self.url);
        field("Compression", &self.compression);
        if let Some(hash) = &self.file_hash {
            field("FileHash", &hash.format_prefixed(Format::Base32));
        }
        if let Some(size) = self.file_size.filter(|&size| size != 0) {
            field("FileSize", &size.to_string());
        }
        field("NarHash", &self.nar_hash.format_prefixed(Format::Base32));
        field("NarSize", &self.nar_size.to_string());
        let references: Vec<&str> = self.references.iter().map(StorePath::base_name).collect();
        field("References", &references.join(" "));
        if let Some(deriver) = &self.deriver {
            field("Deriver", deriver.base_name());
        }
        for signature in &self.signatures {
            field("Sig", signature);
        }
        if let Some(ca) = &self.ca {
            field("CA", &ca.to_string());
        }
        out
    }

    /// The text that a signature of this path is over.
    pub fn fingerprint(&self, store_dir: &str) -> String {
        fingerprint(&self.store_path, &self.nar_hash, self.nar_size, &self.references, store_dir)
    }
}

/// The text that a signature is over: `1;path;hash;size;references`, the references sorted and with commas between them.
pub fn fingerprint(path: &StorePath, nar_hash: &Hash, nar_size: u64, references: &BTreeSet<StorePath>, store_dir: &str) -> String {
    let mut out = format!("1;{store_dir}/{path};{};{nar_size};", nar_hash.format_prefixed(Format::Base32));
    for (i, reference) in references.iter().enumerate() {
        let comma = if i > 0 { "," } else { "" };
        // Writing to a String cannot fail.
        let _ = write!(out, "{comma}{store_dir}/{reference}");
    }
    out
}

#[cfg(test)]
mod tests;
