//! Hashes and placeholders.

use super::*;
use crate::error::Code;
use nix_formats::hash::{Error as HashError, Format, Hash, HashType};

pub const TABLE: &[Builtin] = &[
    row("hashString", &["type", "s"], 3, hash_string, "The hash of a string, in base 16; the type is `md5`, `sha1`, `sha256` or `sha512`."),
    row("hashFile", &["type", "p"], 3, hash_file, "The hash of a file, in base 16."),
    row("convertHash", &["args"], 1, convert_hash, "A hash in another notation: `{ hash, hashAlgo ? …, toHashFormat }`."),
    row("placeholder", &["output"], 1, placeholder, "A text that stands for an output's path until the derivation is built."),
];

pub(crate) fn hash_type(ev: &mut Ev, v: Val, pos: At) -> R<HashType> {
    let name = String::from_utf8_lossy(ev.expect_plain(v, pos)?.bytes()).into_owned();
    match name.parse() {
        Ok(algo) => Ok(algo),
        Err(_) => Err(ev.throw(Code::InvalidArgument, pos, format!("unknown hash algorithm '{name}', expect 'md5', 'sha1', 'sha256', or 'sha512'"))),
    }
}

/// A hash that cannot be read, in the words that scripts know from CppNix.
pub(crate) fn hash_refused(ev: &mut Ev, e: &HashError, pos: At) -> crate::eval::Thrown {
    let message = match e {
        HashError::NoType(text) => format!("hash '{text}' does not include a type, nor is the type otherwise known from context"),
        HashError::OtherType { text, wanted, .. } => format!("hash '{text}' should have type '{wanted}'"),
        HashError::Length { text, algo } => format!("hash '{text}' has wrong length for hash type '{algo}'"),
        e => e.to_string(),
    };
    ev.throw(Code::InvalidArgument, pos, message)
}

fn hash_string(ev: &mut Ev, args: Args, pos: At) -> Res {
    let algo = hash_type(ev, args[0], pos)?;
    let s = ev.expect_string(args[1], pos)?;
    let text = Hash::of(algo, s.bytes()).format(Format::Base16);
    Ok(ev.string(text.as_bytes()))
}

fn hash_file(ev: &mut Ev, args: Args, pos: At) -> Res {
    let algo = hash_type(ev, args[0], pos)?;
    let path = super::files::realised_path(ev, args[1], pos)?;
    let text = match ev.world.read_file(&path) {
        Ok(text) => text,
        Err(e) => return Err(ev.throw_world(e, pos)),
    };
    let text = Hash::of(algo, &text).format(Format::Base16);
    Ok(ev.string(text.as_bytes()))
}

fn convert_hash(ev: &mut Ev, args: Args, pos: At) -> Res {
    let attrs = ev.expect_attrs(args[0], pos)?;
    let hash = ev.expect_attr(attrs, ev.known.hash, pos)?;
    let hash = String::from_utf8_lossy(ev.expect_plain(hash, pos)?.bytes()).into_owned();
    let algo = match ev.attr(attrs, ev.known.hash_algo)? {
        Some(v) => Some(hash_type(ev, v, pos)?),
        None => None,
    };
    let format = ev.expect_attr(attrs, ev.known.to_hash_format, pos)?;
    let format = String::from_utf8_lossy(ev.expect_plain(format, pos)?.bytes()).into_owned();
    let hash = match Hash::parse_any(&hash, algo) {
        Ok(hash) => hash,
        Err(e) => return Err(hash_refused(ev, &e, pos)),
    };
    let format = match format.as_str() {
        "base16" => Format::Base16,
        "nix32" => Format::Base32,
        "base32" => {
            ev.world.warn(b"\"base32\" is a deprecated alias for hash format \"nix32\".").map_err(|e| ev.throw_world(e, pos))?;
            Format::Base32
        }
        "base64" => Format::Base64,
        "sri" => Format::Sri,
        _ => {
            let message = format!("unknown hash format '{format}', expect 'base16', 'base32', 'base64', or 'sri'");
            return Err(ev.throw(Code::InvalidArgument, pos, message));
        }
    };
    Ok(ev.string(hash.format(format).as_bytes()))
}

fn placeholder(ev: &mut Ev, args: Args, pos: At) -> Res {
    let output = ev.expect_plain(args[0], pos)?;
    Ok(ev.string(nix_formats::store_path::hash_placeholder(output.bytes()).as_bytes()))
}
