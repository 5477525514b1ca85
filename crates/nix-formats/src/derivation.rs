//! Derivations: their bytes, and the hashes that their output paths are made of.
//!
//! Purpose: [`Derivation`] is what a `.drv` file says; [`Derivation::unparse`] and [`Derivation::parse`] are its ATerm form, and
//! [`Derivation::hash_modulo`] its identity *modulo* fixed-output inputs: the hash of the same text with every input derivation
//! replaced by its own such hash, so that two ways of fetching one file give the same paths downstream.
//!
//! Invariants: maps are sorted bytewise, as in the file, so the text of a derivation is unique. Strings are bytes: Nix strings
//! need not be UTF-8. Reading accepts any order, as CppNix does, but no duplicate and no byte after the end; `parse` and
//! `unparse` are inverse on all that CppNix writes.
//!
//! What it does not do: it reads no file. Who asks for a hash hands in the hashes of the inputs. Content-addressed outputs
//! without a known hash are read and written, but have no hash modulo; dynamic derivations (`DrvWithVersion`) are refused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::hash::{self, base16_of_32, Hash, HashType};
use crate::store_path::{self, make_fixed_output_path, make_output_path, make_text_path, Method, StorePath};

/// An output's name; shared, because nearly all are `out`.
pub type OutputName = Arc<str>;

/// One output, with the three fields that the file has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Output {
    /// The path; `None` (an empty text in the file) while it is not known.
    pub path: Option<StorePath>,
    /// Empty for an input-addressed output, else the method and the type, such as `r:sha256`.
    pub hash_algo: String,
    /// The base-16 digits of a fixed output; empty otherwise.
    pub hash: String,
}

impl Output {
    pub fn input_addressed(path: StorePath) -> Output {
        Output { path: Some(path), ..Output::default() }
    }

    /// A fixed output, whose path follows from its hash.
    pub fn fixed(method: Method, hash: &Hash, drv_name: &str, store_dir: &str) -> Result<Output, store_path::Error> {
        Ok(Output {
            path: Some(make_fixed_output_path(method, hash, drv_name, [], false, store_dir)?),
            hash_algo: [method.prefix(), hash.algo().name()].concat(),
            hash: hash.format(hash::Format::Base16),
        })
    }

    pub fn is_fixed(&self) -> bool {
        !self.hash.is_empty() && self.hash != "impure"
    }

    /// The method and the hash of a fixed output.
    pub fn fixed_hash(&self) -> Result<Option<(Method, Hash)>, hash::Error> {
        if !self.is_fixed() {
            return Ok(None);
        }
        let (method, algo) = Method::parse_with_algo(&self.hash_algo)?;
        Ok(Some((method, Hash::parse_unprefixed(&self.hash, algo)?)))
    }
}

/// What to build, from what, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Derivation {
    pub outputs: BTreeMap<OutputName, Output>,
    /// The derivations needed, and which of their outputs.
    pub input_drvs: BTreeMap<StorePath, BTreeSet<OutputName>>,
    /// The store paths needed that are not built.
    pub input_srcs: BTreeSet<StorePath>,
    pub platform: Vec<u8>,
    pub builder: Vec<u8>,
    pub args: Vec<Vec<u8>>,
    pub env: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// A derivation's hash modulo its fixed-output inputs, as those that depend on it see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashModulo {
    /// Of an ordinary derivation; it stands for all outputs.
    Regular([u8; 32]),
    /// Of a fixed output, which is always called `out`; it depends on what is fetched, not on how.
    Fixed([u8; 32]),
}

/// The inputs as [`Derivation::unparse_modulo`] writes them: hashes instead of paths, those that are equal merged.
pub type HashedInputs = BTreeMap<[u8; 32], BTreeSet<OutputName>>;

/// Why a derivation has no hash modulo.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HashError {
    #[error("derivation has no output")]
    NoOutputs,
    #[error("a fixed output must be the only one and be called `out`")]
    FixedOutputs,
    #[error("output `{0}` is content-addressed without a known hash")]
    Floating(String),
    #[error("fixed-output derivation `{drv}` has no output `{output}`")]
    NoSuchOutput { drv: StorePath, output: String },
    #[error("output `{0}` has no path yet")]
    NoPath(String),
    #[error(transparent)]
    Hash(#[from] hash::Error),
    #[error(transparent)]
    StorePath(#[from] store_path::Error),
}

const SPECIAL: [u8; 256] = {
    let mut table = [0; 256];
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table[b'\n' as usize] = b'n';
    table[b'\r' as usize] = b'r';
    table[b'\t' as usize] = b't';
    table
};

fn push_escaped(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    let mut start = 0;
    for (i, &byte) in text.iter().enumerate() {
        let escape = SPECIAL[usize::from(byte)];
        if escape != 0 {
            out.extend_from_slice(&text[start..i]);
            out.extend_from_slice(&[b'\\', escape]);
            start = i + 1;
        }
    }
    out.extend_from_slice(&text[start..]);
    out.push(b'"');
}

fn push_plain(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    out.extend_from_slice(text);
    out.push(b'"');
}

fn push_path(out: &mut Vec<u8>, path: &StorePath, store_dir: &str) {
    out.push(b'"');
    path.push_absolute(store_dir, out);
    out.push(b'"');
}

/// Writes `items` between brackets, commas between them.
fn push_list<T>(out: &mut Vec<u8>, items: impl IntoIterator<Item = T>, mut push: impl FnMut(&mut Vec<u8>, T)) {
    out.push(b'[');
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        push(out, item);
    }
    out.push(b']');
}

fn push_input(out: &mut Vec<u8>, key: impl FnOnce(&mut Vec<u8>), outputs: &BTreeSet<OutputName>) {
    out.push(b'(');
    key(out);
    out.push(b',');
    push_list(out, outputs, |out, output| push_plain(out, output.as_bytes()));
    out.push(b')');
}

impl Derivation {
    /// The bytes of the `.drv` file.
    pub fn unparse(&self, store_dir: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.size_hint(store_dir));
        self.unparse_into(store_dir, &mut out);
        out
    }

    /// Appends the bytes of the `.drv` file to `out`, which may be a buffer used again and again.
    pub fn unparse_into(&self, store_dir: &str, out: &mut Vec<u8>) {
        self.unparse_with(store_dir, false, out, |out| {
            push_list(out, &self.input_drvs, |out, (path, outputs)| {
                push_input(out, |out| push_path(out, path, store_dir), outputs);
            });
        });
    }

    /// Appends the text that is hashed: inputs are hashes, and with `mask_outputs` the output paths and the variables named
    /// after outputs are empty.
    pub fn unparse_modulo(&self, store_dir: &str, mask_outputs: bool, inputs: &HashedInputs, out: &mut Vec<u8>) {
        self.unparse_with(store_dir, mask_outputs, out, |out| {
            push_list(out, inputs, |out, (hash, outputs)| {
                push_input(out, |out| push_plain(out, &base16_of_32(hash)), outputs);
            });
        });
    }

    // Output names, paths, hashes and the platform are not escaped: CppNix does not either, and the bytes must be its own.
    fn unparse_with(&self, store_dir: &str, mask: bool, out: &mut Vec<u8>, push_inputs: impl FnOnce(&mut Vec<u8>)) {
        out.extend_from_slice(b"Derive(");
        push_list(out, &self.outputs, |out, (name, output)| {
            out.push(b'(');
            push_plain(out, name.as_bytes());
            out.push(b',');
            match &output.path {
                Some(path) if !mask => push_path(out, path, store_dir),
                _ => out.extend_from_slice(b"\"\""),
            }
            out.push(b',');
            push_plain(out, output.hash_algo.as_bytes());
            out.push(b',');
            push_plain(out, output.hash.as_bytes());
            out.push(b')');
        });
        out.push(b',');
        push_inputs(out);
        out.push(b',');
        push_list(out, &self.input_srcs, |out, path| push_path(out, path, store_dir));
        out.push(b',');
        push_plain(out, &self.platform);
        out.push(b',');
        push_escaped(out, &self.builder);
        out.push(b',');
        push_list(out, &self.args, |out, arg| push_escaped(out, arg));
        out.push(b',');
        push_list(out, &self.env, |out, (name, value)| {
            out.push(b'(');
            push_escaped(out, name);
            out.push(b',');
            if mask && self.has_output(name) {
                out.extend_from_slice(b"\"\"");
            } else {
                push_escaped(out, value);
            }
            out.push(b')');
        });
        out.push(b')');
    }

    fn has_output(&self, name: &[u8]) -> bool {
        self.outputs.keys().any(|output| output.as_bytes() == name)
    }

    fn size_hint(&self, store_dir: &str) -> usize {
        let path = store_dir.len() + 80;
        let env: usize = self.env.iter().map(|(name, value)| name.len() + value.len() + 16).sum();
        let args: usize = self.args.iter().map(|arg| arg.len() + 8).sum();
        let paths = self.outputs.len() * 2 + self.input_drvs.len() + self.input_srcs.len();
        let text = env + args;
        64 + self.builder.len() + text + text / 16 + paths * path
    }

    /// Whether this is a fixed-output derivation.
    pub fn is_fixed_output(&self) -> bool {
        self.outputs.values().any(Output::is_fixed)
    }

    /// The hash that stands for a fixed-output derivation in those that depend on it; `None` for any other derivation.
    pub fn hash_fixed(&self, store_dir: &str) -> Result<Option<[u8; 32]>, HashError> {
        if !self.is_fixed_output() {
            return Ok(None);
        }
        let (1, Some(output)) = (self.outputs.len(), self.outputs.get("out")) else {
            return Err(HashError::FixedOutputs);
        };
        let path = output.path.as_ref().ok_or_else(|| HashError::NoPath("out".to_owned()))?;
        let mut hasher = Sha256::new();
        for part in ["fixed:out:", &output.hash_algo, ":", &output.hash, ":", store_dir, "/", path.base_name()] {
            hasher.update(part);
        }
        Ok(Some(hasher.finalize().into()))
    }

    /// Replaces the input derivations by what `lookup` says of them.
    pub fn hash_inputs<E: From<HashError>>(&self, mut lookup: impl FnMut(&StorePath) -> Result<HashModulo, E>) -> Result<HashedInputs, E> {
        let mut inputs = HashedInputs::new();
        for (path, outputs) in &self.input_drvs {
            match lookup(path)? {
                HashModulo::Regular(hash) => inputs.entry(hash).or_default().extend(outputs.iter().cloned()),
                HashModulo::Fixed(hash) => {
                    if let Some(other) = outputs.iter().find(|output| &***output != "out") {
                        return Err(HashError::NoSuchOutput { drv: path.clone(), output: other.to_string() }.into());
                    }
                    inputs.entry(hash).or_default().extend(outputs.iter().cloned());
                }
            }
        }
        Ok(inputs)
    }

    /// The hash of this derivation as an input of others.
    pub fn hash_modulo<E: From<HashError>>(&self, store_dir: &str, lookup: impl FnMut(&StorePath) -> Result<HashModulo, E>) -> Result<HashModulo, E> {
        if let Some(hash) = self.hash_fixed(store_dir)? {
            return Ok(HashModulo::Fixed(hash));
        }
        self.check_input_addressed()?;
        if let Some((name, _)) = self.outputs.iter().find(|(_, output)| output.path.is_none()) {
            return Err(HashError::NoPath(name.to_string()).into());
        }
        let inputs = self.hash_inputs(lookup)?;
        Ok(HashModulo::Regular(self.digest(store_dir, false, &inputs, &mut Vec::new())))
    }

    fn digest(&self, store_dir: &str, mask: bool, inputs: &HashedInputs, buffer: &mut Vec<u8>) -> [u8; 32] {
        buffer.clear();
        buffer.reserve(self.size_hint(store_dir));
        self.unparse_modulo(store_dir, mask, inputs, buffer);
        Sha256::digest(&buffer).into()
    }

    fn check_input_addressed(&self) -> Result<(), HashError> {
        if self.outputs.is_empty() {
            return Err(HashError::NoOutputs);
        }
        match self.outputs.iter().find(|(_, output)| !output.hash_algo.is_empty()) {
            Some((name, _)) => Err(HashError::Floating(name.to_string())),
            None => Ok(()),
        }
    }

    /// Computes the paths of the outputs, puts them into `outputs` and into the variables of the same names, and gives the hash
    /// modulo of the finished derivation. `drv_name` is without `.drv`. This is all that instantiating needs beside
    /// [`Derivation::unparse`] and [`Derivation::store_path`]; a fixed output's path must be there already.
    pub fn fill_outputs<E: From<HashError>>(
        &mut self,
        drv_name: &str,
        store_dir: &str,
        lookup: impl FnMut(&StorePath) -> Result<HashModulo, E>,
    ) -> Result<HashModulo, E> {
        if let Some(hash) = self.hash_fixed(store_dir)? {
            for (name, output) in &self.outputs {
                set_output_variable(&mut self.env, name, output.path.as_ref(), store_dir);
            }
            return Ok(HashModulo::Fixed(hash));
        }
        self.check_input_addressed()?;
        let inputs = self.hash_inputs(lookup)?;
        let mut buffer = Vec::new();
        // The outputs' names are part of what is hashed, as variables too.
        for name in self.outputs.keys() {
            self.env.entry(name.as_bytes().to_vec()).or_default();
        }
        let masked = Hash::sha256(self.digest(store_dir, true, &inputs, &mut buffer));
        for (name, output) in &mut self.outputs {
            output.path = Some(make_output_path(name, &masked, drv_name, store_dir).map_err(HashError::from)?);
            set_output_variable(&mut self.env, name, output.path.as_ref(), store_dir);
        }
        Ok(HashModulo::Regular(self.digest(store_dir, false, &inputs, &mut buffer)))
    }

    /// The path of the `.drv` file. `text` is [`Derivation::unparse`]; `drv_name` is without `.drv`.
    pub fn store_path(&self, drv_name: &str, text: &[u8], store_dir: &str) -> Result<StorePath, store_path::Error> {
        let references = self.input_drvs.keys().chain(&self.input_srcs);
        let name = [drv_name, store_path::DRV_EXTENSION].concat();
        make_text_path(&name, &Hash::of(HashType::Sha256, text), references, store_dir)
    }

    /// Reads the bytes of a `.drv` file.
    pub fn parse(text: &[u8], store_dir: &str) -> Result<Derivation, ParseError> {
        Parser { text, pos: 0, store_dir, out: Arc::from("out") }.derivation()
    }
}

fn set_output_variable(env: &mut BTreeMap<Vec<u8>, Vec<u8>>, name: &str, path: Option<&StorePath>, store_dir: &str) {
    let Some(path) = path else { return };
    let mut value = Vec::new();
    path.push_absolute(store_dir, &mut value);
    env.insert(name.as_bytes().to_vec(), value);
}

/// Why bytes are not a derivation, and where.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("not a derivation: {reason} at offset {offset}")]
pub struct ParseError {
    pub offset: usize,
    pub reason: ParseReason,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ParseReason {
    #[error("`{0}` expected")]
    Expected(&'static str),
    #[error("a string does not end")]
    OpenString,
    #[error("dynamic derivations are not supported")]
    Dynamic,
    #[error("text is not UTF-8")]
    Utf8,
    #[error("`{0}` occurs twice")]
    Duplicate(String),
    #[error("input derivation without outputs")]
    NoOutputs,
    #[error("output with a hash but without a type, or without a path")]
    Output,
    #[error("{0}")]
    StorePath(#[from] store_path::Error),
    #[error("{0}")]
    Hash(#[from] hash::Error),
}

struct Parser<'a> {
    text: &'a [u8],
    pos: usize,
    store_dir: &'a str,
    out: OutputName,
}

type Parsed<T> = Result<T, ParseError>;

impl<'a> Parser<'a> {
    fn error(&self, offset: usize, reason: impl Into<ParseReason>) -> ParseError {
        ParseError { offset, reason: reason.into() }
    }

    fn expect(&mut self, token: &'static str) -> Parsed<()> {
        if !self.text[self.pos..].starts_with(token.as_bytes()) {
            return Err(self.error(self.pos, ParseReason::Expected(token)));
        }
        self.pos += token.len();
        Ok(())
    }

    /// The bytes between the quotes, escapes included, and whether there are any.
    fn raw_string(&mut self) -> Parsed<(&'a [u8], bool)> {
        let open = self.pos;
        self.expect("\"")?;
        let start = self.pos;
        let mut escaped = false;
        loop {
            match memchr::memchr2(b'"', b'\\', &self.text[self.pos..]) {
                Some(i) if self.text[self.pos + i] == b'"' => {
                    let end = self.pos + i;
                    self.pos = end + 1;
                    return Ok((&self.text[start..end], escaped));
                }
                Some(i) if self.pos + i + 1 < self.text.len() => {
                    escaped = true;
                    self.pos += i + 2;
                }
                _ => return Err(self.error(open, ParseReason::OpenString)),
            }
        }
    }

    fn bytes(&mut self) -> Parsed<Vec<u8>> {
        let (mut raw, escaped) = self.raw_string()?;
        if !escaped {
            return Ok(raw.to_vec());
        }
        let mut out = Vec::with_capacity(raw.len());
        while let Some(i) = memchr::memchr(b'\\', raw) {
            out.extend_from_slice(&raw[..i]);
            // A backslash is never the last: raw_string took the byte after it along.
            out.push(match raw[i + 1] {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                other => other,
            });
            raw = &raw[i + 2..];
        }
        out.extend_from_slice(raw);
        Ok(out)
    }

    fn string(&mut self) -> Parsed<String> {
        let start = self.pos;
        let bytes = self.bytes()?;
        String::from_utf8(bytes).map_err(|_| self.error(start, ParseReason::Utf8))
    }

    fn output_name(&mut self) -> Parsed<OutputName> {
        // Nearly every name is the same one; sharing it saves an allocation each.
        if self.text[self.pos..].starts_with(b"\"out\"") {
            self.pos += 5;
            return Ok(self.out.clone());
        }
        self.string().map(Arc::from)
    }

    fn path(&mut self) -> Parsed<StorePath> {
        let start = self.pos;
        let (raw, escaped) = self.raw_string()?;
        if escaped {
            return Err(self.error(start, store_path::Error::HashPart(String::from_utf8_lossy(raw).into_owned())));
        }
        StorePath::parse(raw, self.store_dir).map_err(|e| self.error(start, e))
    }

    fn list(&mut self, mut item: impl FnMut(&mut Self) -> Parsed<()>) -> Parsed<()> {
        self.expect("[")?;
        if self.text.get(self.pos) == Some(&b']') {
            self.pos += 1;
            return Ok(());
        }
        loop {
            item(self)?;
            match self.text.get(self.pos) {
                Some(b',') => self.pos += 1,
                Some(b']') => {
                    self.pos += 1;
                    return Ok(());
                }
                _ => return Err(self.error(self.pos, ParseReason::Expected("]"))),
            }
        }
    }

    fn duplicate(&self, offset: usize, what: &[u8]) -> ParseError {
        self.error(offset, ParseReason::Duplicate(String::from_utf8_lossy(what).into_owned()))
    }

    fn output(&mut self) -> Parsed<Output> {
        let start = self.pos;
        let path = if self.text[self.pos..].starts_with(b"\"\"") {
            self.pos += 2;
            None
        } else {
            Some(self.path()?)
        };
        self.expect(",")?;
        let hash_algo = self.string()?;
        self.expect(",")?;
        let hash = self.string()?;
        let output = Output { path, hash_algo, hash };
        if !output.hash_algo.is_empty() {
            Method::parse_with_algo(&output.hash_algo).map_err(|e| self.error(start, e))?;
        } else if !output.hash.is_empty() {
            return Err(self.error(start, ParseReason::Output));
        }
        // A path goes with a fixed hash, or with no hash at all.
        let fixed = output.fixed_hash().map_err(|e| self.error(start, e))?.is_some();
        let consistent = match (output.hash_algo.is_empty(), fixed) {
            (true, _) => true,
            (false, fixed) => output.path.is_some() == fixed,
        };
        if !consistent {
            return Err(self.error(start, ParseReason::Output));
        }
        Ok(output)
    }

    fn derivation(mut self) -> Parsed<Derivation> {
        if self.text.starts_with(b"DrvWithVersion(") {
            return Err(self.error(0, ParseReason::Dynamic));
        }
        let mut drv = Derivation::default();
        self.expect("Derive(")?;
        self.list(|p| {
            let start = p.pos;
            p.expect("(")?;
            let name = p.output_name()?;
            p.expect(",")?;
            let output = p.output()?;
            p.expect(")")?;
            match drv.outputs.insert(name.clone(), output) {
                Some(_) => Err(p.duplicate(start, name.as_bytes())),
                None => Ok(()),
            }
        })?;
        self.expect(",")?;
        self.list(|p| {
            let start = p.pos;
            p.expect("(")?;
            let path = p.path()?;
            p.expect(",")?;
            let mut outputs = BTreeSet::new();
            p.list(|p| {
                let start = p.pos;
                let name = p.output_name()?;
                match outputs.insert(name.clone()) {
                    true => Ok(()),
                    false => Err(p.duplicate(start, name.as_bytes())),
                }
            })?;
            p.expect(")")?;
            if outputs.is_empty() {
                return Err(p.error(start, ParseReason::NoOutputs));
            }
            match drv.input_drvs.insert(path.clone(), outputs) {
                Some(_) => Err(p.duplicate(start, path.base_name().as_bytes())),
                None => Ok(()),
            }
        })?;
        self.expect(",")?;
        self.list(|p| {
            let start = p.pos;
            let path = p.path()?;
            match drv.input_srcs.insert(path.clone()) {
                true => Ok(()),
                false => Err(p.duplicate(start, path.base_name().as_bytes())),
            }
        })?;
        self.expect(",")?;
        drv.platform = self.bytes()?;
        self.expect(",")?;
        drv.builder = self.bytes()?;
        self.expect(",")?;
        self.list(|p| {
            drv.args.push(p.bytes()?);
            Ok(())
        })?;
        self.expect(",")?;
        self.list(|p| {
            let start = p.pos;
            p.expect("(")?;
            let name = p.bytes()?;
            p.expect(",")?;
            let value = p.bytes()?;
            p.expect(")")?;
            if drv.env.contains_key(&name) {
                return Err(p.duplicate(start, &name));
            }
            drv.env.insert(name, value);
            Ok(())
        })?;
        self.expect(")")?;
        if self.pos != self.text.len() {
            return Err(self.error(self.pos, ParseReason::Expected("end")));
        }
        Ok(drv)
    }
}

#[cfg(test)]
mod tests;
