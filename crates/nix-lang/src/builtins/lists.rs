//! Lists.

use super::*;
use crate::error::Code;
use crate::value::{EnvRef, ListRef};

pub const TABLE: &[Builtin] = &[
    row("map", &["f", "list"], 2, map, "Applies `f` to each element."),
    row("filter", &["f", "list"], 2, filter, "The elements for which `f` gives true."),
    row("foldl'", &["op", "nul", "list"], 4, foldl, "Folds a list from the left, evaluating each result at once."),
    row("elem", &["x", "xs"], 2, elem, "Whether a value equal to `x` is in the list."),
    row("elemAt", &["xs", "n"], 3, elem_at, "Element `n`, counted from zero."),
    row("head", &["list"], 1, head, "The first element."),
    row("tail", &["list"], 1, tail, "All elements but the first."),
    row("length", &["list"], 1, length, "How many elements there are."),
    row("concatLists", &["lists"], 1, concat_lists, "The elements of all lists in a list."),
    row("concatMap", &["f", "list"], 3, concat_map, "Applies `f`, which gives lists, to each element and joins the results."),
    row("genList", &["generator", "length"], 2, gen_list, "A list of that length; element `i` is `generator i`."),
    row("sort", &["comparator", "list"], 2, sort, "Sorts, stably, by a function that says whether its first argument comes before its second."),
    row("any", &["pred", "list"], 3, any, "Whether `pred` holds for some element."),
    row("all", &["pred", "list"], 3, all, "Whether `pred` holds for every element."),
    row("partition", &["pred", "list"], 3, partition, "`{ right, wrong }`: the elements for which `pred` holds and the others."),
    row("groupBy", &["f", "list"], 3, group_by, "A set of lists: the elements, grouped by the string that `f` gives."),
];

fn map(ev: &mut Ev, args: Args, pos: At) -> Res {
    let list = ev.expect_list(args[1], pos)?;
    if list.is_empty() {
        return Ok(args[1]);
    }
    let f = ev.expect_function(args[0], pos)?;
    let out = ListRef::alloc(ev.arena(), list.len());
    for (i, slot) in list.slots().iter().enumerate() {
        out.set(i, Val::apply_thunk(ev.arena(), f, &[slot.get()]));
    }
    Ok(Val::list(out))
}

fn filter(ev: &mut Ev, args: Args, pos: At) -> Res {
    let list = ev.expect_list(args[1], pos)?;
    if list.is_empty() {
        return Ok(args[1]);
    }
    let f = ev.expect_function(args[0], pos)?;
    let mut kept = Vec::with_capacity(list.len());
    for slot in list.slots() {
        if test(ev, f, slot.get(), pos)? {
            kept.push(slot.get());
        }
    }
    Ok(if kept.len() == list.len() { args[1] } else { ev.list(&kept) })
}

#[inline]
fn test(ev: &mut Ev, f: Val, item: Val, pos: At) -> R<bool> {
    let v = ev.call(f, &[item], pos)?;
    ev.expect_bool(v, pos)
}

fn foldl(ev: &mut Ev, args: Args, pos: At) -> Res {
    let f = ev.expect_function(args[0], pos)?;
    let list = ev.expect_list(args[2], pos)?;
    if list.is_empty() {
        return ev.force(args[1]);
    }
    let mut acc = args[1];
    for slot in list.slots() {
        acc = ev.call(f, &[acc, slot.get()], pos)?;
    }
    ev.force(acc)
}

fn elem(ev: &mut Ev, args: Args, pos: At) -> Res {
    let list = ev.expect_list(args[1], pos)?;
    for slot in list.slots() {
        ev.poll(pos)?;
        if ev.equal(args[0], slot.get(), pos)? {
            return Ok(Val::TRUE);
        }
    }
    Ok(Val::FALSE)
}

fn at(ev: &mut Ev, list: ListRef, n: i64, pos: At) -> Res {
    match usize::try_from(n).ok().and_then(|n| list.slots().get(n)) {
        Some(slot) => ev.force_slot(slot, EnvRef::NULL),
        None => {
            let len = list.len();
            Err(ev.throw(Code::OutOfBounds, pos, format!("'builtins.elemAt' called with index {n} on a list of size {len}")))
        }
    }
}

fn elem_at(ev: &mut Ev, args: Args, pos: At) -> Res {
    let list = ev.expect_list(args[0], pos)?;
    let n = ev.expect_int(args[1], pos)?;
    at(ev, list, n, pos)
}

fn head(ev: &mut Ev, args: Args, pos: At) -> Res {
    let list = ev.expect_list(args[0], pos)?;
    if list.is_empty() {
        return Err(ev.throw(Code::OutOfBounds, pos, "'builtins.head' called on an empty list"));
    }
    at(ev, list, 0, pos)
}

fn tail(ev: &mut Ev, args: Args, pos: At) -> Res {
    let list = ev.expect_list(args[0], pos)?;
    if list.is_empty() {
        return Err(ev.throw(Code::OutOfBounds, pos, "'builtins.tail' called on an empty list"));
    }
    let rest: Vec<Val> = list.slots()[1..].iter().map(|s| s.get()).collect();
    Ok(ev.list(&rest))
}

fn length(ev: &mut Ev, args: Args, pos: At) -> Res {
    let list = ev.expect_list(args[0], pos)?;
    Ok(ev.int(list.len() as i64))
}

fn concat_lists(ev: &mut Ev, args: Args, pos: At) -> Res {
    let lists = ev.expect_list(args[0], pos)?;
    let mut parts = Vec::with_capacity(lists.len());
    for slot in lists.slots() {
        parts.push(ev.expect_list(slot.get(), pos)?);
    }
    ev.concat_lists(&parts, pos)
}

fn concat_map(ev: &mut Ev, args: Args, pos: At) -> Res {
    let f = ev.expect_function(args[0], pos)?;
    let list = ev.expect_list(args[1], pos)?;
    let mut parts = Vec::with_capacity(list.len());
    for slot in list.slots() {
        let v = ev.call(f, &[slot.get()], pos)?;
        parts.push(ev.expect_list(v, pos)?);
    }
    ev.concat_lists(&parts, pos)
}

fn gen_list(ev: &mut Ev, args: Args, pos: At) -> Res {
    let n = ev.expect_int(args[1], pos)?;
    let Ok(len) = usize::try_from(n) else {
        return Err(ev.throw(Code::InvalidArgument, pos, format!("cannot create list of size {n}")));
    };
    let f = ev.expect_function(args[0], pos)?;
    if len == 0 {
        return Ok(ev.empty_list);
    }
    // The list, and a call for each element.
    ev.check_room(len.saturating_mul(24), pos)?;
    let out = ListRef::alloc(ev.arena(), len);
    for i in 0..len {
        // A long list takes longer than Ctrl-C may.
        if i & 0xffff == 0xffff {
            ev.enter_call(pos)?;
            ev.leave_call();
        }
        let arg = ev.int(i as i64);
        out.set(i, Val::apply_thunk(ev.arena(), f, &[arg]));
    }
    Ok(Val::list(out))
}

fn sort(ev: &mut Ev, args: Args, pos: At) -> Res {
    let list = ev.expect_list(args[1], pos)?;
    if list.is_empty() {
        return Ok(args[1]);
    }
    let f = ev.expect_function(args[0], pos)?;
    let mut items = Vec::with_capacity(list.len());
    for slot in list.slots() {
        items.push(ev.force_slot(slot, EnvRef::NULL)?);
    }
    let builtin = f.as_prim_op().is_some_and(|id| ev.state.name(id) == "lessThan");
    merge_sort(ev, &mut items, &mut |ev, a, b| {
        if builtin {
            return ev.less_than(a, b, pos);
        }
        let v = ev.call(f, &[a, b], pos)?;
        ev.expect_bool(v, pos)
    })?;
    Ok(ev.list(&items))
}

/// A stable merge sort that, unlike the standard library's, takes a comparison that may fail or contradict itself.
fn merge_sort(ev: &mut Ev, items: &mut [Val], less: &mut dyn FnMut(&mut Ev, Val, Val) -> R<bool>) -> R<()> {
    let n = items.len();
    let mut width = 1;
    let mut from = items.to_vec();
    let mut to = items.to_vec();
    while width < n {
        let mut start = 0;
        while start < n {
            let (mid, end) = ((start + width).min(n), (start + 2 * width).min(n));
            let (mut i, mut j) = (start, mid);
            for slot in to[start..end].iter_mut() {
                ev.poll(Pos::NONE)?;
                let left = i < mid && (j >= end || !less(ev, from[j], from[i])?);
                *slot = if left { from[i] } else { from[j] };
                if left {
                    i += 1
                } else {
                    j += 1
                }
            }
            start = end;
        }
        std::mem::swap(&mut from, &mut to);
        width *= 2;
    }
    items.copy_from_slice(&from);
    Ok(())
}

fn any(ev: &mut Ev, args: Args, pos: At) -> Res {
    let f = ev.expect_function(args[0], pos)?;
    let list = ev.expect_list(args[1], pos)?;
    for slot in list.slots() {
        if test(ev, f, slot.get(), pos)? {
            return Ok(Val::TRUE);
        }
    }
    Ok(Val::FALSE)
}

fn all(ev: &mut Ev, args: Args, pos: At) -> Res {
    let f = ev.expect_function(args[0], pos)?;
    let list = ev.expect_list(args[1], pos)?;
    for slot in list.slots() {
        if !test(ev, f, slot.get(), pos)? {
            return Ok(Val::FALSE);
        }
    }
    Ok(Val::TRUE)
}

fn partition(ev: &mut Ev, args: Args, pos: At) -> Res {
    let f = ev.expect_function(args[0], pos)?;
    let list = ev.expect_list(args[1], pos)?;
    let (mut right, mut wrong) = (Vec::new(), Vec::new());
    for slot in list.slots() {
        // Unlike its kin it evaluates each element, even one that `pred` does not look at.
        ev.force_slot(slot, EnvRef::NULL)?;
        if test(ev, f, slot.get(), pos)? {
            right.push(slot.get());
        } else {
            wrong.push(slot.get());
        }
    }
    let mut set = AttrsBuilder::with_capacity(2);
    let (right, wrong) = (ev.list(&right), ev.list(&wrong));
    set.push(ev.known.right, right);
    set.push(ev.known.wrong, wrong);
    Ok(set.finish(ev))
}

fn group_by(ev: &mut Ev, args: Args, pos: At) -> Res {
    let f = ev.expect_function(args[0], pos)?;
    let list = ev.expect_list(args[1], pos)?;
    let mut groups: FxMap<crate::symbol::Sym, Vec<Val>> = FxMap::default();
    for slot in list.slots() {
        let name = ev.call(f, &[slot.get()], pos)?;
        let name = ev.expect_plain(name, pos)?;
        let sym = ev.symbols.intern(name.bytes());
        groups.entry(sym).or_default().push(slot.get());
    }
    let mut set = AttrsBuilder::with_capacity(groups.len());
    for (sym, items) in groups {
        let items = ev.list(&items);
        set.push(sym, items);
    }
    Ok(set.finish(ev))
}
