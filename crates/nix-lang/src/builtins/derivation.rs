//! `derivationStrict`: from attributes to a derivation and its store paths.
//!
//! Source: the manual's chapter "Derivations" and "Advanced attributes"; output paths follow from the hash "modulo" of the inputs
//! (Dolstra, *The Purely Functional Software Deployment Model*, section 5.4), which `nix-formats` computes.

use super::*;
use crate::error::Code;
use crate::eval::{Coerce, ContextElem, StrBuf};
use crate::value::{AttrsRef, EnvRef, Kind};
use nix_formats::derivation::{Derivation, HashError, HashModulo, Output, OutputName};
use nix_formats::hash::{Hash, HashType};
use nix_formats::store_path::{self, Method, StorePath};
use std::collections::BTreeSet;

pub const TABLE: &[Builtin] =
    &[row("derivationStrict", &["attrs"], 1, derivation_strict, "Writes a derivation; gives its path and those of its outputs.")];

/// The derivations of this evaluation, or read by it: their hashes modulo and what they need.
#[derive(Default)]
pub struct Known {
    hashes: FxMap<StorePath, HashModulo>,
}

fn derivation_strict(ev: &mut Ev, args: Args, pos: At) -> Res {
    let attrs = ev.expect_attrs(args[0], pos)?;
    let Some((flat, at)) = attrs.find(ev.known.name) else {
        return Err(ev.throw(Code::MissingAttribute, pos, "required attribute 'name' missing"));
    };
    let name_pos = flat.shape().positions()[at as usize];
    let name = ev.force_attr(flat, at)?;
    let name = ev.expect_plain(name, name_pos)?.bytes();
    let result = match store_path::check_name(name) {
        Ok(name) => instantiate(ev, attrs, name, name_pos),
        Err(e @ store_path::Error::Character { .. }) => Err(super::files::name_refused(ev, "invalid derivation name: ", &e, name_pos)),
        Err(e) => Err(ev.throw(Code::InvalidDerivation, name_pos, format!("invalid derivation name: {e}"))),
    };
    result.inspect_err(|_| ev.frame(name_pos, |_| format!("while evaluating the derivation '{}'", String::from_utf8_lossy(name))))
}

/// What the attributes say beside the environment.
#[derive(Default)]
struct Special {
    output_hash: Option<String>,
    hash_algo: Option<HashType>,
    method: Option<Method>,
    outputs: Option<BTreeSet<OutputName>>,
}

fn flag(ev: &mut Ev, attrs: AttrsRef, sym: crate::symbol::Sym, pos: At) -> R<bool> {
    match ev.attr(attrs, sym)? {
        Some(v) => ev.expect_bool(v, pos),
        None => Ok(false),
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn instantiate(ev: &mut Ev, attrs: AttrsRef, name: &str, pos: At) -> Res {
    let mut json = if flag(ev, attrs, ev.known.structured_attrs, pos)? { Some(b"{".to_vec()) } else { None };
    let ignore_nulls = flag(ev, attrs, ev.known.ignore_nulls, pos)?;
    let mut drv = Derivation {
        outputs: Default::default(),
        input_drvs: Default::default(),
        input_srcs: Default::default(),
        platform: Vec::new(),
        builder: Vec::new(),
        args: Vec::new(),
        env: Default::default(),
    };
    let mut special = Special::default();
    let mut context = StrBuf::new(ev);
    let flat = ev.flatten(attrs);
    for &i in ev.alphabetical(flat) {
        let sym = flat.shape().syms()[i as usize];
        if sym == ev.known.ignore_nulls {
            continue;
        }
        let at = flat.shape().positions()[i as usize];
        let result = match ev.force_attr(flat, i) {
            Ok(v) if ignore_nulls && v == Val::NULL => Ok(()),
            Ok(v) => attribute(ev, &mut drv, &mut special, &mut json, &mut context, sym, v, at),
            Err(t) => Err(t),
        };
        if let Err(t) = result {
            ev.frame(at, |ev| format!("while evaluating the attribute '{}' of the derivation '{name}'", ev.name(sym)));
            return Err(t);
        }
    }
    if let Some(mut json) = json {
        json.push(b'}');
        drv.env.insert(b"__json".to_vec(), json);
    }
    add_inputs(ev, &mut drv, &mut context, pos)?;
    context.discard(ev);
    if drv.builder.is_empty() {
        return Err(ev.throw(Code::InvalidDerivation, pos, "required attribute 'builder' missing"));
    }
    if drv.platform.is_empty() {
        return Err(ev.throw(Code::InvalidDerivation, pos, "required attribute 'system' missing"));
    }
    fill(ev, &mut drv, name, special, pos)?;
    write(ev, drv, name, pos)
}

#[allow(clippy::too_many_arguments)]
fn attribute(
    ev: &mut Ev,
    drv: &mut Derivation,
    special: &mut Special,
    json: &mut Option<Vec<u8>>,
    context: &mut StrBuf,
    sym: crate::symbol::Sym,
    v: Val,
    pos: At,
) -> R<()> {
    if sym == ev.known.content_addressed || sym == ev.known.impure {
        if ev.expect_bool(v, pos)? {
            let what = ev.name(sym);
            let e = crate::error::Error::new(Code::Unsupported, pos, format!("derivations with `{what} = true` are not supported"));
            return Err(ev.raise(e.with_hint("leave the attribute out: the derivation is then input-addressed, or give it an `outputHash`")));
        }
        return Ok(());
    }
    if sym == ev.known.args {
        let list = ev.expect_list(v, pos)?;
        for slot in list.slots() {
            let item = ev.force_slot(slot, EnvRef::NULL)?;
            let s = coerced(ev, item, context, pos)?;
            drv.args.push(s);
        }
        return Ok(());
    }
    let key = ev.symbols.name(sym);
    if let Some(json) = json {
        if sym == ev.known.structured_attrs {
            return Ok(());
        }
        if json.len() > 1 {
            json.push(b',');
        }
        let mut text = StrBuf::new(ev);
        if crate::data::json::write_string(&mut text.bytes, key).is_err() {
            return Err(ev.throw(Code::Json, pos, "the name of a structured attribute is not UTF-8"));
        }
        text.bytes.push(b':');
        super::convert::write_json(ev, v, &mut text, true, pos)?;
        json.extend_from_slice(&text.bytes);
        context.add_ids(text.context_ids());
        text.discard(ev);
        if sym == ev.known.builder {
            let s = ev.expect_string(v, pos)?;
            context.add_context(s);
            drv.builder = s.bytes().to_vec();
        } else if sym == ev.known.system {
            drv.platform = ev.expect_plain(v, pos)?.bytes().to_vec();
        } else if sym == ev.known.output_hash {
            special.output_hash = Some(lossy(ev.expect_plain(v, pos)?.bytes()));
        } else if sym == ev.known.output_hash_algo {
            let text = lossy(ev.expect_plain(v, pos)?.bytes());
            // An unknown one is none: the hash itself may say it.
            special.hash_algo = text.parse().ok();
        } else if sym == ev.known.output_hash_mode {
            let text = lossy(ev.expect_plain(v, pos)?.bytes());
            special.method = Some(hash_mode(ev, &text, pos)?);
        } else if sym == ev.known.outputs {
            let list = ev.expect_list(v, pos)?;
            let mut names = Vec::with_capacity(list.len());
            for slot in list.slots() {
                names.push(lossy(ev.expect_plain(slot.get(), pos)?.bytes()));
            }
            special.outputs = Some(output_names(ev, names.iter().map(String::as_str), pos)?);
        }
        return Ok(());
    }
    let s = coerced(ev, v, context, pos)?;
    if sym == ev.known.builder {
        drv.builder = s.clone();
    } else if sym == ev.known.system {
        drv.platform = s.clone();
    } else if sym == ev.known.output_hash {
        special.output_hash = Some(lossy(&s));
    } else if sym == ev.known.output_hash_algo {
        special.hash_algo = lossy(&s).parse().ok();
    } else if sym == ev.known.output_hash_mode {
        special.method = Some(hash_mode(ev, &lossy(&s), pos)?);
    } else if sym == ev.known.outputs {
        let text = lossy(&s);
        special.outputs = Some(output_names(ev, text.split([' ', '\t', '\n', '\r']).filter(|n| !n.is_empty()), pos)?);
    }
    drv.env.insert(key.to_vec(), s);
    Ok(())
}

/// The text of a value for the builder; its context goes to the derivation's inputs.
fn coerced(ev: &mut Ev, v: Val, context: &mut StrBuf, pos: At) -> R<Vec<u8>> {
    if let Some(s) = v.as_str() {
        context.add_context(s);
        return Ok(s.bytes().to_vec());
    }
    let mut out = StrBuf::new(ev);
    ev.coerce_into(v, &mut out, Coerce::DERIVATION, pos)?;
    context.add_ids(out.context_ids());
    let bytes = out.bytes.clone();
    out.discard(ev);
    Ok(bytes)
}

fn hash_mode(ev: &mut Ev, text: &str, pos: At) -> R<Method> {
    match text {
        "recursive" | "nar" => Ok(Method::Nar),
        "flat" => Ok(Method::Flat),
        "text" => Ok(Method::Text),
        _ => Err(ev.throw(Code::InvalidDerivation, pos, format!("invalid value '{text}' for 'outputHashMode' attribute"))),
    }
}

fn output_names<'n>(ev: &mut Ev, names: impl Iterator<Item = &'n str>, pos: At) -> R<BTreeSet<OutputName>> {
    let mut outputs = BTreeSet::new();
    for name in names {
        if name == "drvPath" {
            return Err(ev.throw(Code::InvalidDerivation, pos, "invalid derivation output name 'drvPath'"));
        }
        if let Err(e) = store_path::check_name(name.as_bytes()) {
            return Err(ev.throw(Code::InvalidDerivation, pos, format!("invalid derivation output name '{name}': {e}")));
        }
        if !outputs.insert(OutputName::from(name)) {
            return Err(ev.throw(Code::InvalidDerivation, pos, format!("duplicate derivation output '{name}'")));
        }
    }
    if outputs.is_empty() {
        return Err(ev.throw(Code::InvalidDerivation, pos, "derivation cannot have an empty set of outputs"));
    }
    Ok(outputs)
}

/// Turns the collected context into input derivations and sources.
fn add_inputs(ev: &mut Ev, drv: &mut Derivation, context: &mut StrBuf, pos: At) -> R<()> {
    for id in context.context_ids() {
        match ev.contexts.elem(id).clone() {
            ContextElem::Path(p) => {
                drv.input_srcs.insert(p);
            }
            ContextElem::Output { drv: p, output } => {
                drv.input_drvs.entry(p).or_default().insert(output);
            }
            // The builder may look at everything that the derivation needs, its outputs included.
            ContextElem::DrvDeep(p) => {
                let text = p.to_absolute(&ev.settings.store_dir);
                let closure = match ev.world.closure(text.as_bytes()) {
                    Ok(closure) => closure,
                    Err(e) => return Err(ev.throw_world(e, pos)),
                };
                for path in closure {
                    let path = ev.parse_store_path(&path, pos)?;
                    if path.is_derivation() {
                        let inner = read(ev, &path, pos)?;
                        drv.input_drvs.entry(path.clone()).or_default().extend(inner.outputs.keys().cloned());
                    }
                    drv.input_srcs.insert(path);
                }
            }
        }
    }
    Ok(())
}

/// A derivation of the store.
fn read(ev: &mut Ev, path: &StorePath, pos: At) -> R<Derivation> {
    let text = path.to_absolute(&ev.settings.store_dir);
    let aterm = match ev.world.read_derivation(text.as_bytes()) {
        Ok(aterm) => aterm,
        Err(e) => return Err(ev.throw_world(e, pos)),
    };
    match Derivation::parse(&aterm, &ev.settings.store_dir) {
        Ok(drv) => Ok(drv),
        Err(e) => Err(ev.throw(Code::InvalidDerivation, pos, format!("the derivation '{text}' cannot be read: {e}"))),
    }
}

/// The hash modulo of an input, computed from the store where this evaluation did not make it.
fn hash_of(ev: &mut Ev, path: &StorePath, pos: At) -> R<HashModulo> {
    if let Some(known) = ev.state.derivations.hashes.get(path) {
        return Ok(*known);
    }
    ev.check_stack(pos)?;
    let drv = read(ev, path, pos)?;
    for input in drv.input_drvs.keys() {
        hash_of(ev, input, pos)?;
    }
    let hash = hash_modulo(ev, &drv, pos)?;
    ev.state.derivations.hashes.insert(path.clone(), hash);
    Ok(hash)
}

/// The hash modulo of a derivation all of whose inputs are known.
fn hash_modulo(ev: &mut Ev, drv: &Derivation, pos: At) -> R<HashModulo> {
    let (known, dir) = (&ev.state.derivations.hashes, &ev.settings.store_dir);
    let result: Result<HashModulo, Refusal> = drv.hash_modulo(dir, |p| known.get(p).copied().ok_or(Refusal::Unknown));
    result.map_err(|e| refused(ev, e, pos))
}

enum Refusal {
    Hash(HashError),
    Unknown,
}

impl From<HashError> for Refusal {
    fn from(e: HashError) -> Self {
        Refusal::Hash(e)
    }
}

fn refused(ev: &mut Ev, e: Refusal, pos: At) -> crate::eval::Thrown {
    match e {
        Refusal::Hash(e) => ev.throw(Code::InvalidDerivation, pos, e.to_string()),
        Refusal::Unknown => ev.throw(Code::Internal, pos, "the hash of an input derivation was not computed"),
    }
}

/// Computes the outputs' paths.
fn fill(ev: &mut Ev, drv: &mut Derivation, name: &str, special: Special, pos: At) -> R<()> {
    let outputs = special.outputs.unwrap_or_else(|| BTreeSet::from([OutputName::from("out")]));
    if name.ends_with(".drv") && special.method != Some(Method::Text) {
        let message = "derivation names are allowed to end in '.drv' only if they produce a single derivation file";
        return Err(ev.throw(Code::InvalidDerivation, pos, message));
    }
    for input in drv.input_drvs.keys() {
        hash_of(ev, input, pos)?;
    }
    if let Some(text) = special.output_hash {
        if outputs.len() != 1 || !outputs.contains("out") {
            return Err(ev.throw(Code::InvalidDerivation, pos, "multiple outputs are not supported in fixed-output derivations"));
        }
        let hash = if text.is_empty() {
            let Some(algo) = special.hash_algo else {
                return Err(ev.throw(Code::InvalidDerivation, pos, "empty hash requires explicit hash algorithm"));
            };
            let zero = Hash::zero(algo);
            let result = ev.world.warn(format!("found empty hash, assuming '{}'", zero.format(nix_formats::hash::Format::Sri)).as_bytes());
            result.map_err(|e| ev.throw_world(e, pos))?;
            zero
        } else {
            match Hash::parse_any(&text, special.hash_algo) {
                Ok(hash) => hash,
                Err(e) => return Err(super::hash::hash_refused(ev, &e, pos)),
            }
        };
        match Output::fixed(special.method.unwrap_or(Method::Flat), &hash, name, &ev.settings.store_dir) {
            Ok(output) => drv.outputs.insert(OutputName::from("out"), output),
            Err(e) => return Err(ev.throw(Code::InvalidDerivation, pos, e.to_string())),
        };
    } else {
        for output in outputs {
            drv.outputs.insert(output, Output { path: None, hash_algo: String::new(), hash: String::new() });
        }
    }
    Ok(())
}

/// Hands the finished derivation to the world and gives its paths, with their contexts.
fn write(ev: &mut Ev, mut drv: Derivation, name: &str, pos: At) -> Res {
    let result: Result<HashModulo, Refusal> = {
        let (known, dir) = (&ev.state.derivations.hashes, &ev.settings.store_dir);
        drv.fill_outputs(name, dir, |p| known.get(p).copied().ok_or(Refusal::Unknown))
    };
    let hash = result.map_err(|e| refused(ev, e, pos))?;
    let dir = ev.settings.store_dir.clone();
    let aterm = drv.unparse(&dir);
    let path = match drv.store_path(name, &aterm, &dir) {
        Ok(path) => path,
        Err(e) => return Err(ev.throw(Code::InvalidDerivation, pos, e.to_string())),
    };
    let text = path.to_absolute(&dir);
    if ev.state.derivations.hashes.insert(path.clone(), hash).is_none() {
        let mut references: Vec<String> = drv.input_srcs.iter().chain(drv.input_drvs.keys()).map(|p| p.to_absolute(&dir)).collect();
        references.sort();
        references.dedup();
        let references: Vec<&[u8]> = references.iter().map(|r| r.as_bytes()).collect();
        if let Err(e) = ev.world.add_derivation(text.as_bytes(), &aterm, &references) {
            return Err(ev.throw_world(e, pos));
        }
    }
    let mut set = AttrsBuilder::with_capacity(1 + drv.outputs.len());
    let drv_path = ev.string_with_elem(text.as_bytes(), ContextElem::DrvDeep(path.clone()));
    set.push(ev.known.drv_path, drv_path);
    for (output, o) in &drv.outputs {
        let Some(out) = &o.path else {
            return Err(ev.throw(Code::Internal, pos, "an output's path was not computed"));
        };
        let sym = ev.symbols.intern(output.as_bytes());
        let elem = ContextElem::Output { drv: path.clone(), output: output.clone() };
        let v = ev.string_with_elem(out.to_absolute(&dir).as_bytes(), elem);
        set.push(sym, v);
    }
    Ok(set.finish(ev))
}

/// `import` of a `.drv` file gives the derivation as a set, as nix-env's own expressions need it.
pub(crate) fn import_derivation(ev: &mut Ev, v: Val, file: &[u8], pos: At) -> R<Option<Val>> {
    if !file.ends_with(b".drv") || !matches!(v.kind(), Kind::String(_) | Kind::Attrs(_)) || !store_path::is_in_store(file, &ev.settings.store_dir) {
        return Ok(None);
    }
    let Ok(path) = StorePath::parse(file, &ev.settings.store_dir) else { return Ok(None) };
    let drv = read(ev, &path, pos)?;
    let mut set = AttrsBuilder::with_capacity(5 + drv.outputs.len());
    let drv_path = ev.string_with_elem(file, ContextElem::DrvDeep(path.clone()));
    set.push(ev.known.drv_path, drv_path);
    let type_name = ev.string(b"derivation");
    let mut names = Vec::new();
    let mut outputs = Vec::new();
    for (output, o) in &drv.outputs {
        let text = o.path.as_ref().map(|p| p.to_absolute(&ev.settings.store_dir)).unwrap_or_default();
        let elem = ContextElem::Output { drv: path.clone(), output: output.clone() };
        let out = ev.string_with_elem(text.as_bytes(), elem);
        names.push(ev.string(output.as_bytes()));
        outputs.push((ev.symbols.intern(output.as_bytes()), out));
    }
    let name = ev.string(drv.env.get(b"name".as_slice()).map_or(&b""[..], |n| n));
    set.push(ev.known.name, name);
    let names = ev.list(&names);
    set.push(ev.known.outputs, names);
    let first = outputs.first().map(|o| o.1);
    let mut common = set;
    common.push(ev.known.type_, type_name);
    for (sym, out) in outputs {
        let mut one = AttrsBuilder::with_capacity(4);
        one.push(ev.known.out_path, out);
        one.push(ev.known.drv_path, drv_path);
        one.push(ev.known.type_, type_name);
        one.push(ev.known.name, name);
        let one = one.finish(ev);
        common.push(sym, one);
    }
    if let Some(out) = first {
        common.push(ev.known.out_path, out);
    }
    Ok(Some(common.finish(ev)))
}
