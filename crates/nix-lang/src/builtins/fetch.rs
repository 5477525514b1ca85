//! Fetching: everything goes through the world's one door to the network.

use super::*;
use crate::error::Code;
use crate::eval::ContextElem;
use crate::value::Kind;
use crate::world::{FetchRequest, FetchedAttr};

pub const TABLE: &[Builtin] = &[
    row(
        "fetchurl",
        &["arg"],
        1,
        |ev, a, p| fetch(ev, "fetchurl", &["url", "sha256", "name"], a[0], p),
        "Downloads a file: a URL, or `{ url, sha256 ? …, name ? … }`.",
    ),
    row(
        "fetchTarball",
        &["args"],
        1,
        |ev, a, p| fetch(ev, "fetchTarball", &["url", "sha256", "name"], a[0], p),
        "Downloads and unpacks an archive: a URL, or `{ url, sha256 ? …, name ? … }`.",
    ),
    row(
        "fetchGit",
        &["args"],
        1,
        |ev, a, p| {
            let known = &["url", "name", "rev", "ref", "submodules", "shallow", "allRefs", "exportIgnore", "lfs", "narHash"];
            fetch(ev, "fetchGit", known, a[0], p)
        },
        "Fetches a Git repository: a URL, or `{ url, rev ? …, ref ? …, submodules ? …, shallow ? …, allRefs ? …, name ? … }`.",
    ),
];

fn fetch(ev: &mut Ev, kind: &'static str, known: &[&'static str], arg: Val, pos: At) -> Res {
    let mut given: Vec<(&str, Vec<u8>)> = Vec::new();
    match arg.kind() {
        Kind::Attrs(attrs) => {
            let flat = ev.flatten(attrs);
            for &i in ev.alphabetical(flat) {
                let (sym, at) = (flat.shape().syms()[i as usize], flat.shape().positions()[i as usize]);
                let name = ev.name(sym);
                let Some(&key) = known.iter().find(|k| **k == name) else {
                    let mut e = crate::error::Error::new(Code::InvalidArgument, at, format!("unsupported argument '{name}' to '{kind}'"));
                    e.hint = crate::error::did_you_mean(name.as_bytes(), known.iter().map(|k| k.as_bytes()));
                    return Err(ev.raise(e));
                };
                let v = ev.force_attr(flat, i)?;
                let text = match v.kind() {
                    Kind::Bool(b) => {
                        if b {
                            b"1".to_vec()
                        } else {
                            Vec::new()
                        }
                    }
                    Kind::Path(path) => path.bytes().to_vec(),
                    _ => ev.expect_plain(v, at)?.bytes().to_vec(),
                };
                given.push((key, text));
            }
        }
        Kind::Path(path) => given.push(("url", path.bytes().to_vec())),
        _ => given.push(("url", ev.expect_plain(arg, pos)?.bytes().to_vec())),
    }
    if !given.iter().any(|(key, _)| *key == "url") {
        return Err(ev.throw(Code::MissingArgument, pos, format!("'url' argument required by '{kind}'")));
    }
    let pinned = given.iter().any(|(key, _)| matches!(*key, "sha256" | "rev" | "narHash"));
    if ev.settings.pure && !pinned {
        return Err(ev.throw(Code::Forbidden, pos, format!("in pure evaluation mode, '{kind}' requires a hash or revision")));
    }
    let fetched = match ev.world.fetch(&FetchRequest { kind, args: &given }) {
        Ok(fetched) => fetched,
        Err(e) => return Err(ev.throw_world(e, pos)),
    };
    let elem = ContextElem::Path(ev.parse_store_path(&fetched.store_path, pos)?);
    let path = ev.string_with_elem(&fetched.store_path, elem);
    if kind != "fetchGit" {
        return Ok(path);
    }
    let mut set = AttrsBuilder::with_capacity(1 + fetched.attrs.len());
    set.push(ev.known.out_path, path);
    for (name, value) in fetched.attrs {
        let v = match value {
            FetchedAttr::Text(text) => ev.string(&text),
            FetchedAttr::Int(n) => ev.int(n),
            FetchedAttr::Bool(b) => Val::bool(b),
        };
        let sym = ev.symbols.intern(name.as_bytes());
        set.push(sym, v);
    }
    Ok(set.finish(ev))
}
