//! String contexts.

use super::*;
use crate::error::Code;
use crate::eval::{Coerce, ContextElem, StrBuf};
use std::collections::BTreeMap;

pub const TABLE: &[Builtin] = &[
    row("hasContext", &["s"], 1, has_context, "Whether the string refers to store paths."),
    row("getContext", &["s"], 1, get_context, "The context of a string as a set."),
    row("appendContext", &["s", "context"], 3, append_context, "Adds to a string's context; the reverse of `getContext`."),
    row("unsafeDiscardStringContext", &["s"], 1, discard, "The string without its context."),
    row("unsafeDiscardOutputDependency", &["s"], 1, discard_output_dependency, "The string, a derivation in its context as a mere file."),
    row("addDrvOutputDependencies", &["s"], 1, add_output_dependencies, "The string, the derivation in its context with all that builds it."),
];

fn has_context(ev: &mut Ev, args: Args, pos: At) -> Res {
    let s = ev.expect_string(args[0], pos)?;
    Ok(Val::bool(s.context().is_some()))
}

fn discard(ev: &mut Ev, args: Args, pos: At) -> Res {
    let s = ev.coerce_to_string(args[0], Coerce::INTERPOLATION, pos)?;
    Ok(if s.context().is_none() { s.val() } else { ev.string(s.bytes()) })
}

fn discard_output_dependency(ev: &mut Ev, args: Args, pos: At) -> Res {
    let s = ev.coerce_to_string(args[0], Coerce::INTERPOLATION, pos)?;
    let Some(context) = s.context() else { return Ok(s.val()) };
    let mut out = StrBuf::new(ev);
    out.bytes.extend_from_slice(s.bytes());
    for &id in context.ids() {
        let elem = match ev.contexts.elem(id).clone() {
            ContextElem::DrvDeep(drv) => ContextElem::Path(drv),
            other => other,
        };
        out.add_elem(ev, elem);
    }
    out.finish(ev, pos)
}

fn add_output_dependencies(ev: &mut Ev, args: Args, pos: At) -> Res {
    let s = ev.coerce_to_string(args[0], Coerce::INTERPOLATION, pos)?;
    let text = String::from_utf8_lossy(s.bytes()).into_owned();
    let ids = s.context().map_or(&[][..], |c| c.ids());
    let [id] = ids else {
        return Err(ev.throw(Code::Context, pos, format!("context of string '{text}' must have exactly one element, but has {}", ids.len())));
    };
    match ev.contexts.elem(*id).clone() {
        ContextElem::Path(p) if p.is_derivation() => Ok(ev.string_with_elem(s.bytes(), ContextElem::DrvDeep(p))),
        ContextElem::Path(p) => Err(ev.throw(Code::Context, pos, format!("path '{}' is not a derivation", p.to_absolute(&ev.settings.store_dir)))),
        ContextElem::DrvDeep(_) => Ok(s.val()),
        ContextElem::Output { output, .. } => {
            let message = format!("`addDrvOutputDependencies` can only act on derivations, not on a derivation output such as '{output}'");
            Err(ev.throw(Code::Context, pos, message))
        }
    }
}

#[derive(Default)]
struct Info {
    path: bool,
    all_outputs: bool,
    outputs: Vec<String>,
}

fn get_context(ev: &mut Ev, args: Args, pos: At) -> Res {
    let s = ev.expect_string(args[0], pos)?;
    let mut infos: BTreeMap<String, Info> = BTreeMap::new();
    for &id in s.context().map_or(&[][..], |c| c.ids()) {
        let elem = ev.contexts.elem(id);
        let info = infos.entry(elem.store_path().to_absolute(&ev.settings.store_dir)).or_default();
        match elem {
            ContextElem::Path(_) => info.path = true,
            ContextElem::DrvDeep(_) => info.all_outputs = true,
            ContextElem::Output { output, .. } => info.outputs.push(output.to_string()),
        }
    }
    let mut out = AttrsBuilder::with_capacity(infos.len());
    for (path, mut info) in infos {
        let mut set = AttrsBuilder::with_capacity(3);
        if info.path {
            set.push(ev.known.path, Val::TRUE);
        }
        if info.all_outputs {
            set.push(ev.known.all_outputs, Val::TRUE);
        }
        if !info.outputs.is_empty() {
            info.outputs.sort();
            let names: Vec<Val> = info.outputs.iter().map(|o| ev.string(o.as_bytes())).collect();
            let names = ev.list(&names);
            set.push(ev.known.outputs, names);
        }
        let set = set.finish(ev);
        let sym = ev.symbols.intern(path.as_bytes());
        out.push(sym, set);
    }
    Ok(out.finish(ev))
}

fn append_context(ev: &mut Ev, args: Args, pos: At) -> Res {
    let s = ev.expect_string(args[0], pos)?;
    let context = ev.expect_attrs(args[1], pos)?;
    let flat = ev.flatten(context);
    let mut out = StrBuf::new(ev);
    out.push(s);
    for i in 0..flat.shape().len() as u32 {
        let (sym, at) = (flat.shape().syms()[i as usize], flat.shape().positions()[i as usize]);
        let text = ev.name(sym);
        if !nix_formats::store_path::is_in_store(text.as_bytes(), &ev.settings.store_dir) {
            return Err(ev.throw(Code::Context, at, format!("context key '{text}' is not a store path")));
        }
        let path = ev.parse_store_path(text.as_bytes(), at)?;
        if let Err(e) = ev.world.ensure_path(text.as_bytes()) {
            return Err(ev.throw_world(e, at));
        }
        let v = ev.force_attr(flat, i)?;
        let info = ev.expect_attrs(v, at)?;
        if let Some(v) = ev.attr(info, ev.known.path)? {
            if ev.expect_bool(v, at)? {
                out.add_elem(ev, ContextElem::Path(path.clone()));
            }
        }
        if let Some(v) = ev.attr(info, ev.known.all_outputs)? {
            if ev.expect_bool(v, at)? {
                if !path.is_derivation() {
                    return Err(ev.throw(
                        Code::Context,
                        at,
                        format!("tried to add all-outputs context of {text}, which is not a derivation, to a string"),
                    ));
                }
                out.add_elem(ev, ContextElem::DrvDeep(path.clone()));
            }
        }
        if let Some(v) = ev.attr(info, ev.known.outputs)? {
            let list = ev.expect_list(v, at)?;
            if !list.is_empty() && !path.is_derivation() {
                return Err(ev.throw(
                    Code::Context,
                    at,
                    format!("tried to add derivation output context of {text}, which is not a derivation, to a string"),
                ));
            }
            for slot in list.slots() {
                let name = ev.expect_plain(slot.get(), at)?;
                let output = String::from_utf8_lossy(name.bytes()).as_ref().into();
                out.add_elem(ev, ContextElem::Output { drv: path.clone(), output });
            }
        }
    }
    out.finish(ev, pos)
}
