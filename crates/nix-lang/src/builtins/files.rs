//! Files, folders and the store.

use super::*;
use crate::data::path;
use crate::error::Code;
use crate::eval::{Coerce, ContextElem, StrBuf};
use crate::value::EnvRef;
use crate::world::{AddMethod, FileType};
use nix_formats::hash::{Hash, HashType};
use nix_formats::store_path;

pub const TABLE: &[Builtin] = &[
    row("pathExists", &["path"], 1, path_exists, "Whether there is something at the path."),
    row("readFile", &["path"], 1, read_file, "The content of a file as a string."),
    row("readDir", &["path"], 1, read_dir, "The entries of a folder: for each its type."),
    row("readFileType", &["path"], 1, read_file_type, "`\"regular\"`, `\"directory\"`, `\"symlink\"` or `\"unknown\"`."),
    row("findFile", &["search-path", "lookup-path"], 3, find_file, "Looks a file up in a list of `{ prefix, path }`, as `<name>` does."),
    row("getEnv", &["s"], 1, get_env, "An environment variable, or the empty string."),
    row("toPath", &["s"], 1, to_path, "The absolute path in a string, made canonical (still a string)."),
    row("storePath", &["path"], 1, store_path, "A path that is in the store already, as a dependency."),
    row("toFile", &["name", "s"], 3, to_file, "Stores the string as a file in the store and gives its path."),
    row("filterSource", &["e1", "e2"], 2, filter_source, "Copies the path `e2` to the store without what the function `e1` refuses."),
    row("path", &["args"], 1, path_builtin, "Copies a path to the store: `{ path, name ? …, filter ? …, recursive ? true, sha256 ? … }`."),
];

/// The path in a value; what its context names is built first.
pub(crate) fn realised_path(ev: &mut Ev, v: Val, pos: At) -> R<Vec<u8>> {
    let mut out = StrBuf::new(ev);
    let found = ev.coerce_to_path(v, &mut out, pos)?;
    realise_context(ev, &mut out, pos)?;
    out.discard(ev);
    Ok(found)
}

/// Builds the outputs that a context names and makes sure of its other paths.
pub(crate) fn realise_context(ev: &mut Ev, out: &mut StrBuf, pos: At) -> R<()> {
    let mut outputs: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for id in out.context_ids() {
        let elem = ev.contexts.elem(id).clone();
        let text = elem.store_path().to_absolute(&ev.settings.store_dir).into_bytes();
        match elem {
            ContextElem::Output { output, .. } => outputs.push((text, output.as_bytes().to_vec())),
            ContextElem::Path(_) | ContextElem::DrvDeep(_) => {
                if let Err(e) = ev.world.ensure_path(&text) {
                    return Err(ev.throw_world(e, pos));
                }
            }
        }
    }
    if !outputs.is_empty() {
        let wanted: Vec<(&[u8], &[u8])> = outputs.iter().map(|(d, o)| (d.as_slice(), o.as_slice())).collect();
        if let Err(e) = ev.world.realise(&wanted) {
            return Err(ev.throw_world(e, pos));
        }
    }
    Ok(())
}

fn path_exists(ev: &mut Ev, args: Args, pos: At) -> Res {
    // A trailing slash (or `/.`) asks for a folder.
    let must_be_dir = args[0].as_str().is_some_and(|s| s.bytes().ends_with(b"/") || s.bytes().ends_with(b"/."));
    let found = realised_path(ev, args[0], pos)?;
    // A symlink exists, whatever it points to.
    match ev.world.file_type(&found) {
        Ok(Some(_)) if must_be_dir => {
            let (_, kind) = ev.follow_links(&found, pos)?;
            Ok(Val::bool(kind == Some(FileType::Directory)))
        }
        Ok(kind) => Ok(Val::bool(kind.is_some())),
        // What may not be looked at is not there.
        Err(e) if e.code == Code::Forbidden => Ok(Val::FALSE),
        Err(e) => Err(ev.throw_world(e, pos)),
    }
}

fn read_file(ev: &mut Ev, args: Args, pos: At) -> Res {
    let found = realised_path(ev, args[0], pos)?;
    let text = match ev.world.read_file(&found) {
        Ok(text) => text,
        Err(e) => return Err(ev.throw_world(e, pos)),
    };
    if text.contains(&0) {
        let shown = String::from_utf8_lossy(&found).into_owned();
        return Err(ev.throw(Code::InvalidArgument, pos, format!("the contents of the file '{shown}' cannot be represented as a Nix string")));
    }
    // A file of the store carries the references that the store knows of and that occur in it.
    let mut out = StrBuf::new(ev);
    if store_path::is_in_store(&found, &ev.settings.store_dir) {
        add_references(ev, &found, &text, &mut out, pos)?;
    }
    out.bytes.extend_from_slice(&text);
    out.finish(ev, pos)
}

fn add_references(ev: &mut Ev, found: &[u8], text: &[u8], out: &mut StrBuf, pos: At) -> R<()> {
    let Ok((owner, _)) = store_path::split_store_path(found, &ev.settings.store_dir) else { return Ok(()) };
    let owner = owner.to_absolute(&ev.settings.store_dir);
    let Ok(references) = ev.world.references(owner.as_bytes()) else { return Ok(()) };
    let mut paths = Vec::with_capacity(references.len());
    for reference in &references {
        paths.push(ev.parse_store_path(reference, pos)?);
    }
    for reference in paths {
        if memchr::memmem::find(text, reference.hash_part().as_bytes()).is_some() {
            out.add_elem(ev, ContextElem::Path(reference));
        }
    }
    Ok(())
}

fn read_dir(ev: &mut Ev, args: Args, pos: At) -> Res {
    let found = realised_path(ev, args[0], pos)?;
    let entries = match ev.world.read_dir(&found) {
        Ok(entries) => entries,
        Err(e) => return Err(ev.throw_world(e, pos)),
    };
    let mut set = AttrsBuilder::with_capacity(entries.len());
    for (name, kind) in entries {
        let sym = ev.symbols.intern(&name);
        let kind = ev.string(kind.as_str().as_bytes());
        set.push(sym, kind);
    }
    Ok(set.finish(ev))
}

fn read_file_type(ev: &mut Ev, args: Args, pos: At) -> Res {
    let found = realised_path(ev, args[0], pos)?;
    match ev.world.file_type(&found) {
        Ok(Some(kind)) => Ok(ev.string(kind.as_str().as_bytes())),
        Ok(None) => {
            let shown = String::from_utf8_lossy(&found).into_owned();
            Err(ev.throw(Code::FileNotFound, pos, format!("path '{shown}' does not exist")))
        }
        Err(e) => Err(ev.throw_world(e, pos)),
    }
}

fn find_file(ev: &mut Ev, args: Args, pos: At) -> Res {
    let list = ev.expect_list(args[0], pos)?;
    let mut entries = Vec::with_capacity(list.len());
    for slot in list.slots() {
        let item = ev.force_slot(slot, EnvRef::NULL)?;
        let item = ev.expect_attrs(item, pos)?;
        let prefix = match ev.attr(item, ev.known.prefix)? {
            Some(v) => ev.expect_plain(v, pos)?.bytes().to_vec(),
            None => Vec::new(),
        };
        let place = ev.expect_attr(item, ev.known.path, pos)?;
        let mut out = StrBuf::new(ev);
        let s = ev.coerce_to_string(place, Coerce::STRING, pos)?;
        out.add_context(s);
        realise_context(ev, &mut out, pos)?;
        out.discard(ev);
        entries.push((prefix, s.bytes().to_vec()));
    }
    let name = ev.expect_plain(args[1], pos)?;
    let found = ev.find_file(&entries, name.bytes(), pos)?;
    Ok(Val::path(ev.arena(), &found))
}

fn get_env(ev: &mut Ev, args: Args, pos: At) -> Res {
    let name = ev.expect_plain(args[0], pos)?;
    if ev.settings.pure {
        return Ok(ev.empty_string);
    }
    let value = ev.world.env_var(name.bytes()).unwrap_or_default();
    Ok(ev.string(&value))
}

fn to_path(ev: &mut Ev, args: Args, pos: At) -> Res {
    let mut out = StrBuf::new(ev);
    let found = ev.coerce_to_path(args[0], &mut out, pos)?;
    out.bytes.extend_from_slice(&found);
    out.finish(ev, pos)
}

fn store_path(ev: &mut Ev, args: Args, pos: At) -> Res {
    if ev.settings.pure {
        return Err(ev.throw(Code::Forbidden, pos, "'builtins.storePath' is not allowed in pure evaluation mode"));
    }
    let mut out = StrBuf::new(ev);
    let mut found = ev.coerce_to_path(args[0], &mut out, pos)?;
    // As far as the symlinks lead outside of the store.
    if !store_path::is_in_store(&found, &ev.settings.store_dir) {
        found = ev.follow_into_store(&found, pos)?;
    }
    if !store_path::is_in_store(&found, &ev.settings.store_dir) {
        let shown = String::from_utf8_lossy(&found).into_owned();
        return Err(ev.throw(Code::InvalidStorePath, pos, format!("path '{shown}' is not in the Nix store")));
    }
    let owner = match store_path::split_store_path(&found, &ev.settings.store_dir) {
        Ok((owner, _)) => owner,
        Err(e) => return Err(ev.throw(Code::InvalidStorePath, pos, e.to_string())),
    };
    let text = owner.to_absolute(&ev.settings.store_dir);
    if let Err(e) = ev.world.ensure_path(text.as_bytes()) {
        return Err(ev.throw_world(e, pos));
    }
    out.add_elem(ev, ContextElem::Path(owner));
    out.bytes.extend_from_slice(&found);
    out.finish(ev, pos)
}

fn to_file(ev: &mut Ev, args: Args, pos: At) -> Res {
    let name = ev.expect_plain(args[0], pos)?;
    let s = ev.expect_string(args[1], pos)?;
    let mut references = std::collections::BTreeSet::new();
    for &id in s.context().map_or(&[][..], |c| c.ids()) {
        match ev.contexts.elem(id) {
            ContextElem::Path(p) => {
                references.insert(p.clone());
            }
            other => {
                let shown = other.store_path().to_absolute(&ev.settings.store_dir);
                let name = String::from_utf8_lossy(name.bytes()).into_owned();
                let message = format!("files created by builtins.toFile may not reference derivations, but {name} references {shown}");
                return Err(ev.throw(Code::Context, pos, message));
            }
        }
    }
    let text_name = match store_path::check_name(name.bytes()) {
        Ok(name) => name,
        Err(e) => return Err(name_refused(ev, "", &e, pos)),
    };
    let hash = Hash::of(HashType::Sha256, s.bytes());
    let made = store_path::make_text_path(text_name, &hash, references.iter(), &ev.settings.store_dir);
    let made = match made {
        Ok(path) => path,
        Err(e) => return Err(ev.throw(Code::InvalidStorePath, pos, e.to_string())),
    };
    let text = made.to_absolute(&ev.settings.store_dir);
    let references: Vec<String> = references.iter().map(|r| r.to_absolute(&ev.settings.store_dir)).collect();
    let references: Vec<&[u8]> = references.iter().map(|r| r.as_bytes()).collect();
    if let Err(e) = ev.world.add_text(text.as_bytes(), s.bytes(), &references) {
        return Err(ev.throw_world(e, pos));
    }
    Ok(ev.string_with_elem(text.as_bytes(), ContextElem::Path(made)))
}

/// A name that a store path cannot have, in the words that scripts know from CppNix.
pub(crate) fn name_refused(ev: &mut Ev, what: &str, e: &store_path::Error, pos: At) -> crate::eval::Thrown {
    let message = match e {
        store_path::Error::Character { name, byte, .. } => format!("{what}name '{name}' contains illegal character '{}'", char::from(*byte)),
        e => format!("{what}{e}"),
    };
    ev.throw(Code::InvalidStorePath, pos, message)
}

struct Source<'s> {
    path: &'s [u8],
    name: &'s [u8],
    filter: Option<Val>,
    method: AddMethod,
    expected: Option<[u8; 32]>,
}

/// What a filter keeps of a tree: asked from the top, in the order of names; nothing is asked below a folder that is refused.
fn keep(ev: &mut Ev, filter: Val, top: &[u8], pos: At) -> R<crate::world::Kept> {
    let mut kept = crate::world::Kept::default();
    let mut open: Vec<Vec<u8>> = Vec::new();
    let top_type = match ev.world.file_type(top) {
        Ok(kind) => kind,
        Err(e) => return Err(ev.throw_world(e, pos)),
    };
    if top_type == Some(FileType::Directory) {
        open.push(top.to_vec());
    }
    while let Some(dir) = open.pop() {
        let mut entries = match ev.world.read_dir(&dir) {
            Ok(entries) => entries,
            Err(e) => return Err(ev.throw_world(e, pos)),
        };
        entries.sort();
        let mut below = Vec::new();
        for (name, kind) in entries {
            let entry = [&dir, b"/".as_slice(), &name].concat();
            let (path, kind_name) = (ev.string(&entry), ev.string(kind.as_str().as_bytes()));
            let answer = ev.call(filter, &[path, kind_name], pos)?;
            if ev.expect_bool(answer, pos)? {
                if kind == FileType::Directory {
                    below.push(entry.clone());
                }
                kept.insert(entry);
            }
        }
        open.extend(below.into_iter().rev());
    }
    Ok(kept)
}

fn add_source(ev: &mut Ev, source: &Source, pos: At) -> Res {
    if let Err(e) = store_path::check_name(source.name) {
        return Err(name_refused(ev, "", &e, pos));
    }
    let kept = match source.filter {
        Some(filter) => Some(keep(ev, filter, source.path, pos)?),
        None => None,
    };
    let added = ev.world.add_path(source.path, source.name, source.method, kept.as_ref(), source.expected.as_ref());
    let stored = match added {
        Ok(stored) => stored,
        Err(e) => return Err(ev.throw_world(e, pos)),
    };
    let elem = ContextElem::Path(ev.parse_store_path(&stored, pos)?);
    Ok(ev.string_with_elem(&stored, elem))
}

fn filter_source(ev: &mut Ev, args: Args, pos: At) -> Res {
    let found = realised_path(ev, args[1], pos)?;
    let filter = ev.expect_function(args[0], pos)?;
    let name = path::base_name(&found).to_vec();
    let source = Source { path: &found, name: &name, filter: Some(filter), method: AddMethod::Nar, expected: None };
    add_source(ev, &source, pos)
}

fn path_builtin(ev: &mut Ev, args: Args, pos: At) -> Res {
    let attrs = ev.expect_attrs(args[0], pos)?;
    let flat = ev.flatten(attrs);
    let (mut found, mut name, mut filter, mut method, mut expected) = (None, None, None, AddMethod::Nar, None);
    for &i in ev.alphabetical(flat) {
        let (sym, at) = (flat.shape().syms()[i as usize], flat.shape().positions()[i as usize]);
        let v = ev.force_attr(flat, i)?;
        if sym == ev.known.path {
            found = Some(realised_path(ev, v, at)?);
        } else if sym == ev.known.name {
            name = Some(ev.expect_plain(v, at)?.bytes().to_vec());
        } else if sym == ev.known.filter {
            filter = Some(ev.expect_function(v, at)?);
        } else if sym == ev.known.recursive {
            method = if ev.expect_bool(v, at)? { AddMethod::Nar } else { AddMethod::Flat };
        } else if sym == ev.known.sha256 {
            let text = String::from_utf8_lossy(ev.expect_plain(v, at)?.bytes()).into_owned();
            match Hash::parse_any(&text, Some(HashType::Sha256)) {
                Ok(hash) => expected = hash.bytes().try_into().ok(),
                Err(e) => return Err(super::hash::hash_refused(ev, &e, at)),
            }
        } else {
            let name = ev.name(sym);
            return Err(ev.throw(Code::InvalidArgument, at, format!("unsupported argument '{name}' to 'builtins.path'")));
        }
    }
    let Some(found) = found else {
        return Err(ev.throw(Code::InvalidArgument, pos, "missing required 'path' attribute in the first argument to 'builtins.path'"));
    };
    let name = name.unwrap_or_else(|| path::base_name(&found).to_vec());
    add_source(ev, &Source { path: &found, name: &name, filter, method, expected }, pos)
}
