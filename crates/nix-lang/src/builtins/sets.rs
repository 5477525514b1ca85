//! Attribute sets.

use super::*;
use crate::error::{did_you_mean, Code, Error};
use crate::symbol::Sym;
use crate::value::{AttrsRef, EnvRef, ListRef};

pub const TABLE: &[Builtin] = &[
    row("attrNames", &["set"], 1, attr_names, "The names, sorted."),
    row("attrValues", &["set"], 1, attr_values, "The values, in the order of the names."),
    row("getAttr", &["s", "set"], 3, get_attr, "The attribute named `s`."),
    row("hasAttr", &["s", "set"], 3, has_attr, "Whether there is an attribute named `s`."),
    row("removeAttrs", &["set", "list"], 3, remove_attrs, "The set without the attributes named in the list."),
    row("listToAttrs", &["e"], 1, list_to_attrs, "A set from a list of `{ name, value }`; of equal names the first counts."),
    row("intersectAttrs", &["e1", "e2"], 3, intersect_attrs, "The attributes of `e2` whose names are in `e1`."),
    row("catAttrs", &["attr", "list"], 3, cat_attrs, "The attribute of that name from each set that has it."),
    row("mapAttrs", &["f", "attrset"], 2, map_attrs, "Applies `f` to the name and value of each attribute."),
    row("zipAttrsWith", &["f", "list"], 3, zip_attrs_with, "Merges sets; `f` gets each name with the list of its values."),
    row("unsafeGetAttrPos", &["s", "set"], 3, get_attr_pos, "Where the attribute stands in the source: `{ file, line, column }`, or null."),
];

fn attr_names(ev: &mut Ev, args: Args, pos: At) -> Res {
    let attrs = ev.expect_attrs(args[0], pos)?;
    let flat = ev.flatten(attrs);
    let order = ev.alphabetical(flat);
    let out = ListRef::alloc(ev.arena(), order.len());
    for (i, &at) in order.iter().enumerate() {
        let name = ev.symbol_string(flat.shape().syms()[at as usize]);
        out.set(i, name);
    }
    Ok(Val::list(out))
}

fn attr_values(ev: &mut Ev, args: Args, pos: At) -> Res {
    let attrs = ev.expect_attrs(args[0], pos)?;
    let flat = ev.flatten(attrs);
    let order = ev.alphabetical(flat);
    let out = ListRef::alloc(ev.arena(), order.len());
    for (i, &at) in order.iter().enumerate() {
        let v = ev.lazy_attr(flat, at);
        out.set(i, v);
    }
    Ok(Val::list(out))
}

fn name_arg(ev: &mut Ev, v: Val, pos: At) -> R<&'static [u8]> {
    Ok(ev.expect_plain(v, pos)?.bytes())
}

fn get_attr(ev: &mut Ev, args: Args, pos: At) -> Res {
    let name = name_arg(ev, args[0], pos)?;
    let attrs = ev.expect_attrs(args[1], pos)?;
    let sym = ev.symbols.intern(name);
    match ev.attr(attrs, sym)? {
        Some(v) => Ok(v),
        None => {
            let flat = ev.flatten(attrs);
            let mut e = Error::new(Code::MissingAttribute, pos, format!("attribute '{}' missing", String::from_utf8_lossy(name)));
            e.hint = did_you_mean(name, flat.shape().syms().iter().map(|&s| ev.symbols.name(s)));
            Err(ev.raise(e))
        }
    }
}

fn has_attr(ev: &mut Ev, args: Args, pos: At) -> Res {
    let name = name_arg(ev, args[0], pos)?;
    let attrs = ev.expect_attrs(args[1], pos)?;
    Ok(Val::bool(ev.symbols.find(name).is_some_and(|sym| attrs.find(sym).is_some())))
}

fn get_attr_pos(ev: &mut Ev, args: Args, pos: At) -> Res {
    let name = name_arg(ev, args[0], pos)?;
    let attrs = ev.expect_attrs(args[1], pos)?;
    match ev.symbols.find(name).and_then(|sym| attrs.find(sym)) {
        Some((flat, at)) => Ok(ev.position_value(flat.shape().positions()[at as usize])),
        None => Ok(Val::NULL),
    }
}

fn remove_attrs(ev: &mut Ev, args: Args, pos: At) -> Res {
    let attrs = ev.expect_attrs(args[0], pos)?;
    let list = ev.expect_list(args[1], pos)?;
    let mut gone: Vec<Sym> = Vec::with_capacity(list.len());
    for slot in list.slots() {
        let name = ev.force_slot(slot, EnvRef::NULL)?;
        let name = name_arg(ev, name, pos)?;
        if let Some(sym) = ev.symbols.find(name) {
            if attrs.find(sym).is_some() {
                gone.push(sym);
            }
        }
    }
    if gone.is_empty() {
        // Another set all the same: where sets are printed, one that was printed before shows.
        let flat = ev.flatten(attrs);
        let copy = AttrsRef::layered(ev.arena(), attrs, flat, attrs.len(), 1);
        copy.set_flat(flat);
        return Ok(Val::attrs(copy));
    }
    gone.sort_unstable();
    let flat = ev.flatten(attrs);
    let mut set = AttrsBuilder::with_capacity(flat.shape().len());
    for (i, (&sym, &at)) in flat.shape().syms().iter().zip(flat.shape().positions()).enumerate() {
        if gone.binary_search(&sym).is_err() {
            let v = ev.lazy_attr(flat, i as u32);
            set.push_at(sym, at, v);
        }
    }
    Ok(Val::attrs(set.finish_sorted(ev).attrs()))
}

fn list_to_attrs(ev: &mut Ev, args: Args, pos: At) -> Res {
    let list = ev.expect_list(args[0], pos)?;
    let mut set = AttrsBuilder::with_capacity(list.len());
    let mut seen = crate::symbol::FxSet::default();
    for slot in list.slots() {
        let item = ev.force_slot(slot, EnvRef::NULL)?;
        let item = ev.expect_attrs(item, pos)?;
        let name = ev.expect_attr(item, ev.known.name, pos)?;
        let name = name_arg(ev, name, pos)?;
        let sym = ev.symbols.intern(name);
        if !seen.insert(sym) {
            continue;
        }
        let Some((flat, at)) = item.find(ev.known.value) else {
            return Err(ev.throw(Code::MissingAttribute, pos, "attribute 'value' missing"));
        };
        let v = ev.lazy_attr(flat, at);
        set.push_at(sym, flat.shape().positions()[at as usize], v);
    }
    Ok(set.finish(ev))
}

fn intersect_attrs(ev: &mut Ev, args: Args, pos: At) -> Res {
    let left = ev.expect_attrs(args[0], pos)?;
    let right = ev.expect_attrs(args[1], pos)?;
    let mut set = AttrsBuilder::with_capacity(left.len().min(right.len()));
    // The smaller one is walked, the other is searched.
    if left.len() <= right.len() {
        let flat = ev.flatten(left);
        for &sym in flat.shape().syms() {
            if let Some((from, at)) = right.find(sym) {
                let v = ev.lazy_attr(from, at);
                set.push_at(sym, from.shape().positions()[at as usize], v);
            }
        }
    } else {
        let flat = ev.flatten(right);
        for (i, &sym) in flat.shape().syms().iter().enumerate() {
            if left.find(sym).is_some() {
                let v = ev.lazy_attr(flat, i as u32);
                set.push_at(sym, flat.shape().positions()[i], v);
            }
        }
    }
    Ok(Val::attrs(set.finish_sorted(ev).attrs()))
}

fn cat_attrs(ev: &mut Ev, args: Args, pos: At) -> Res {
    let name = name_arg(ev, args[0], pos)?;
    let sym = ev.symbols.intern(name);
    let list = ev.expect_list(args[1], pos)?;
    let mut found = Vec::new();
    for slot in list.slots() {
        let item = ev.force_slot(slot, EnvRef::NULL)?;
        let item = ev.expect_attrs(item, pos)?;
        found.extend(ev.attr_lazy(item, sym));
    }
    Ok(ev.list(&found))
}

fn map_attrs(ev: &mut Ev, args: Args, pos: At) -> Res {
    let attrs = ev.expect_attrs(args[1], pos)?;
    let f = args[0];
    let flat = ev.flatten(attrs);
    Ok(ev.same_shape(flat, |ev, i| {
        let name = ev.symbol_string(flat.shape().syms()[i as usize]);
        let v = ev.lazy_attr(flat, i);
        Val::apply_thunk(ev.arena(), f, &[name, v])
    }))
}

fn zip_attrs_with(ev: &mut Ev, args: Args, pos: At) -> Res {
    let f = ev.expect_function(args[0], pos)?;
    let list = ev.expect_list(args[1], pos)?;
    let mut values: FxMap<Sym, (Pos, Vec<Val>)> = FxMap::default();
    for slot in list.slots() {
        let item = ev.force_slot(slot, EnvRef::NULL)?;
        let item = ev.expect_attrs(item, pos)?;
        let flat = ev.flatten(item);
        for (i, (&sym, &at)) in flat.shape().syms().iter().zip(flat.shape().positions()).enumerate() {
            let v = ev.lazy_attr(flat, i as u32);
            values.entry(sym).or_insert((at, Vec::new())).1.push(v);
        }
    }
    let mut set = AttrsBuilder::with_capacity(values.len());
    for (sym, (at, items)) in values {
        let name = ev.symbol_string(sym);
        let items = ev.list(&items);
        set.push_at(sym, at, Val::apply_thunk(ev.arena(), f, &[name, items]));
    }
    Ok(set.finish(ev))
}
