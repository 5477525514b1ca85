//! Versions and package names.

use super::*;
use crate::data::version;

pub const TABLE: &[Builtin] = &[
    row("compareVersions", &["s1", "s2"], 3, compare_versions, "-1, 0 or 1: how two versions compare."),
    row("splitVersion", &["s"], 1, split_version, "The components of a version."),
    row("parseDrvName", &["s"], 1, parse_drv_name, "`{ name, version }` of a package name."),
];

fn compare_versions(ev: &mut Ev, args: Args, pos: At) -> Res {
    let a = ev.expect_plain(args[0], pos)?;
    let b = ev.expect_plain(args[1], pos)?;
    Ok(ev.int(version::compare(a.bytes(), b.bytes()) as i64))
}

fn split_version(ev: &mut Ev, args: Args, pos: At) -> Res {
    let s = ev.expect_plain(args[0], pos)?;
    let parts: Vec<Val> = version::components(s.bytes()).map(|c| ev.string(c)).collect();
    Ok(ev.list(&parts))
}

fn parse_drv_name(ev: &mut Ev, args: Args, pos: At) -> Res {
    let s = ev.expect_plain(args[0], pos)?;
    let parsed = version::parse_drv_name(s.bytes());
    let (name, version) = (ev.string(parsed.name), ev.string(parsed.version));
    let mut set = AttrsBuilder::with_capacity(2);
    set.push(ev.known.name, name);
    set.push(ev.known.version, version);
    Ok(set.finish(ev))
}
