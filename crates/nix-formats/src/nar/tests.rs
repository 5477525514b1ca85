use std::fs;
use std::io::BufReader;
use std::os::unix::fs::{symlink, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::writer::push_word;
use super::*;
use crate::hash::{Format, HashType, Hasher};
use proptest::prelude::*;

const TREE: &[u8] = include_bytes!("../../tests/data/tree.nar");

/// A directory that is removed with all that is in it.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("nix-formats-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Scratch(path)
    }

    fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        make_writable(&self.0);
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn make_writable(dir: &Path) {
    let _ = fs::set_permissions(dir, fs::Permissions::from_mode(0o755));
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            make_writable(&entry.path());
        }
    }
}

/// Reads everything and keeps nothing.
struct Check;

impl Visitor for Check {
    type Error = Error;

    fn directory(&mut self, _: &[u8]) -> Result<(), Error> {
        Ok(())
    }
    fn end_directory(&mut self, _: &[u8]) -> Result<(), Error> {
        Ok(())
    }
    fn regular(&mut self, _: &[u8], _: bool, _: u64, contents: &mut dyn Contents) -> Result<(), Error> {
        // Reads a part only: the rest is the parser's to skip.
        contents.read(&mut [0; 3]).map(drop).map_err(Error::Read)
    }
    fn symlink(&mut self, _: &[u8], _: &[u8]) -> Result<(), Error> {
        Ok(())
    }
}

fn check(nar: &[u8]) -> Result<u64, Error> {
    parse(nar, &mut Check)
}

fn words(words: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    for word in words {
        push_word(&mut out, word.as_bytes());
    }
    out
}

fn malformed(nar: &[u8]) -> Malformed {
    match check(nar) {
        Err(Error::Malformed { reason, .. }) => reason,
        other => panic!("malformed NAR expected, got {other:?}"),
    }
}

/// A directory with symlinks of these names.
fn directory(names: &[&str]) -> Vec<u8> {
    let mut all = vec!["nix-archive-1", "(", "type", "directory"];
    for name in names {
        all.extend(["entry", "(", "name", name, "node", "(", "type", "symlink", "target", "/", ")", ")"]);
    }
    all.push(")");
    words(&all)
}

#[test]
fn the_kernel_copies_large_files() {
    let scratch = Scratch::new();
    let tree = scratch.join("tree");
    fs::create_dir(&tree).unwrap();
    let large: Vec<u8> = (0..9_000_001_u32).map(|n| (n % 251) as u8).collect();
    fs::write(tree.join("large"), &large).unwrap();
    fs::write(tree.join("small"), b"small").unwrap();
    let nar = dump_path::<_, Error>(&tree, Vec::new(), &mut |_, _| Ok(true)).unwrap();
    for appends in [false, true] {
        // Nothing is sent to the end of a file that is appended to: it is written.
        let place = scratch.join(if appends { "appended" } else { "sent" });
        let out = fs::OpenOptions::new().create_new(true).write(true).append(appends).open(&place).unwrap();
        dump_to_file::<_, Error>(&tree, out, |out| Ok(Some(out)), &mut |_, _| Ok(true)).unwrap();
        assert_eq!(fs::read(&place).unwrap(), nar);
    }
    fn next(reader: &mut BufReader<File>) -> io::Result<Option<&File>> {
        Ok(if reader.buffer().is_empty() { Some(reader.get_ref()) } else { None })
    }
    let restored = scratch.join("restored");
    let size = restore_from_file(File::open(scratch.join("sent")).unwrap(), next, &restored, RestoreOptions::default()).unwrap();
    assert_eq!(size, nar.len() as u64);
    assert_eq!(dump_path::<_, Error>(&restored, Vec::new(), &mut |_, _| Ok(true)).unwrap(), nar);
    fs::write(scratch.join("cut"), &nar[..nar.len() / 2]).unwrap();
    let cut = restore_from_file(File::open(scratch.join("cut")).unwrap(), next, &scratch.join("less"), RestoreOptions::default());
    assert!(matches!(cut, Err(Error::Truncated { .. })));
}

#[test]
fn restore_and_dump_give_the_oracles_bytes() {
    let scratch = Scratch::new();
    let target = scratch.join("tree");
    let options = RestoreOptions { read_only_directories: true, canonical_times: true, writable: false };
    assert_eq!(restore(TREE, &target, options).unwrap(), TREE.len() as u64);
    assert_eq!(dump_path::<_, Error>(&target, Vec::new(), &mut |_, _| Ok(true)).unwrap(), TREE);
    let (hash, size) = hash_path(&target, HashType::Sha256).unwrap();
    assert_eq!((hash.format(Format::Base32).as_str(), size), ("19yqdnm971yq9aq6by2chs5q8kdzbgpi0z44hgg9l6827lir6532", 1616));
    for (name, mode) in [("", 0o555), ("a", 0o444), ("b.sh", 0o555), ("sub", 0o555), ("sub/nul", 0o444)] {
        let status = fs::metadata(target.join(name)).unwrap();
        assert_eq!((status.mode() & 0o7777, status.mtime()), (mode, 1), "{name}");
    }
    assert_eq!(fs::symlink_metadata(target.join("link")).unwrap().mtime(), 1);
    assert!(matches!(restore(TREE, &target, options), Err(Error::File { .. })), "an existing target is refused");

    let copy = scratch.join("copy");
    let written = copy_path::<_, Error>(&target, &copy, options, Vec::new(), &mut |_, _| Ok(true)).unwrap();
    assert_eq!(written, TREE);
    assert_eq!(dump_path::<_, Error>(&copy, Vec::new(), &mut |_, _| Ok(true)).unwrap(), TREE);
    for (name, mode) in [("", 0o555), ("b.sh", 0o555), ("sub", 0o555), ("sub/nul", 0o444), ("link", 0o777)] {
        let status = fs::symlink_metadata(copy.join(name)).unwrap();
        assert_eq!((status.mode() & 0o7777, status.mtime()), (mode, 1), "{name}");
    }
    let again = copy_path::<_, Error>(&target.join("a"), &copy.join("a"), options, Vec::new(), &mut |_, _| Ok(true));
    assert!(matches!(again, Err(Error::File { action: "creating", .. })), "an existing target is refused");
}

#[test]
fn writer_gives_the_oracles_bytes() {
    let mut writer = NarWriter::new(Vec::new());
    writer.begin_directory().unwrap();
    writer.entry(b"a").unwrap();
    writer.regular_bytes(false, b"hello\n").unwrap();
    writer.entry(b"b.sh").unwrap();
    writer.regular(true, 10, &mut b"#!/bin/sh\n".as_slice()).unwrap();
    writer.entry(b"empty").unwrap();
    writer.begin_directory().unwrap();
    writer.end_directory().unwrap();
    assert!(matches!(writer.entry(b"empty"), Err(Error::Refused(Malformed::Order(_)))));
    assert!(matches!(writer.entry(b".."), Err(Error::Refused(Malformed::Name(_)))));
    assert!(matches!(writer.symlink(b"x"), Err(Error::OutOfTurn(_))));
    writer.entry(b"link").unwrap();
    writer.symlink(b"a").unwrap();
    writer.entry(b"sub").unwrap();
    writer.begin_directory().unwrap();
    writer.entry(b"eight").unwrap();
    writer.regular_bytes(false, b"12345678").unwrap();
    writer.entry(b"nul").unwrap();
    writer.regular_bytes(false, b"").unwrap();
    writer.end_directory().unwrap();
    writer.entry(b"sub.x").unwrap();
    writer.regular_bytes(false, b"x").unwrap();
    writer.end_directory().unwrap();
    assert!(matches!(writer.end_directory(), Err(Error::OutOfTurn(_))));
    assert_eq!(writer.finish().unwrap(), TREE);
    assert!(matches!(NarWriter::new(Vec::new()).finish(), Err(Error::OutOfTurn(_))));
}

#[test]
fn filter_sees_paths_and_types_but_not_the_root() {
    let scratch = Scratch::new();
    let target = scratch.join("tree");
    restore(TREE, &target, RestoreOptions::default()).unwrap();
    let mut seen = Vec::new();
    let nar = dump_path::<_, Error>(&target, Vec::new(), &mut |path, kind| {
        seen.push((path.strip_prefix(&target).unwrap().to_str().unwrap().to_owned(), kind.name()));
        Ok(kind == FileType::Symlink)
    });
    let all = [("a", "regular"), ("b.sh", "regular"), ("empty", "directory"), ("link", "symlink"), ("sub", "directory"), ("sub.x", "regular")];
    assert_eq!(seen, all.map(|(path, kind)| (path.to_owned(), kind)));
    let expected = ["nix-archive-1", "(", "type", "directory", "entry", "(", "name", "link", "node", "("];
    let rest = ["type", "symlink", "target", "a", ")", ")", ")"];
    assert_eq!(nar.unwrap(), words(&[expected.as_slice(), &rest].concat()));
}

#[test]
fn files_larger_than_the_buffer() {
    let scratch = Scratch::new();
    let path = scratch.join("big");
    for size in [CHUNK - 200, CHUNK - 96, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5] {
        let contents: Vec<u8> = (0..size).map(|i| (i * 7 + i / 251) as u8).collect();
        fs::write(&path, &contents).unwrap();
        let hashed = hash_path(&path, HashType::Sha256).unwrap();
        assert_eq!(hashed, hash_regular(&contents, false, HashType::Sha256));
        let mut writer = NarWriter::new(Hasher::new(HashType::Sha256));
        writer.regular_bytes(false, &contents).unwrap();
        assert_eq!(hashed.0, writer.finish().unwrap().finish());
        let nar = dump_path::<_, Error>(&path, Vec::new(), &mut |_, _| Ok(true)).unwrap();
        assert_eq!(check(&nar).unwrap(), hashed.1);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(hash_path(&path, HashType::Sha256).unwrap(), hash_regular(&contents, true, HashType::Sha256));
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn unsupported_and_missing_files() {
    let scratch = Scratch::new();
    assert!(matches!(hash_path(&scratch.join("none"), HashType::Sha256), Err(Error::File { .. })));
    assert!(matches!(hash_path(Path::new("/dev/null"), HashType::Sha256), Err(Error::UnsupportedFile(_))));
    symlink("/dev/null", scratch.join("link")).unwrap();
    assert!(hash_path(&scratch.join("link"), HashType::Sha256).is_ok());
}

#[test]
fn hostile_names_and_orders() {
    for bad in ["", ".", "..", "a/b", "/a", "a\0b"] {
        assert_eq!(malformed(&directory(&[bad])), Malformed::Name(bad.to_owned()));
    }
    assert!(matches!(malformed(&directory(&[&"x".repeat(256)])), Malformed::Length { .. }));
    assert_eq!(malformed(&directory(&["b", "a"])), Malformed::Order("a".into()));
    assert_eq!(malformed(&directory(&["a", "a"])), Malformed::Order("a".into()));
    assert!(check(&directory(&["a", "a.", "b", &"x".repeat(255)])).is_ok());
}

#[test]
fn hostile_structure() {
    assert_eq!(malformed(&words(&["nix-archive-2"])), Malformed::Magic);
    assert_eq!(malformed(&[0xff; 64]), Malformed::Magic);
    assert_eq!(malformed(&words(&["nix-archive-1", "(", "type", "device"])), Malformed::Type("device".into()));
    let file = ["nix-archive-1", "(", "type", "regular"];
    assert_eq!(malformed(&words(&[&file[..], &[")"]].concat())), Malformed::Expected("contents"));
    assert!(matches!(malformed(&words(&[&file[..], &["executable", "x"]].concat())), Malformed::Length { .. }));
    let link = |target| malformed(&words(&["nix-archive-1", "(", "type", "symlink", "target", target, ")"]));
    assert_eq!(link(""), Malformed::Target);
    assert_eq!(link("a\0"), Malformed::Target);

    let mut padded = words(&[&file[..], &["contents", "x", ")"]].concat());
    let at = padded.len() - 17;
    padded[at] = 1;
    assert_eq!(malformed(&padded), Malformed::Padding);

    let mut huge = words(&[&file[..], &["contents"]].concat());
    huge.extend_from_slice(&u64::MAX.to_le_bytes());
    huge.extend_from_slice(b"few bytes");
    assert!(matches!(check(&huge), Err(Error::Truncated { .. })));
    let scratch = Scratch::new();
    assert!(matches!(restore(huge.as_slice(), &scratch.join("x"), RestoreOptions::default()), Err(Error::Truncated { .. })));
}

#[test]
fn every_cut_is_truncated_and_every_rest_is_trailing() {
    for len in 0..TREE.len() {
        assert!(matches!(check(&TREE[..len]), Err(Error::Truncated { .. })), "cut at {len}");
    }
    let longer = [TREE, b"x"].concat();
    assert!(matches!(check(&longer), Err(Error::Trailing { offset: 1616 })));
    let mut reader = longer.as_slice();
    assert_eq!(parse_prefix(&mut reader, &mut Check).unwrap(), 1616);
    assert_eq!(reader, b"x");
}

#[test]
fn depth_is_bounded() {
    let nested = |depth| {
        let mut all = vec!["nix-archive-1"];
        for _ in 1..depth {
            all.extend(["(", "type", "directory", "entry", "(", "name", "d", "node"]);
        }
        all.extend(["(", "type", "directory", ")"]);
        all.extend(std::iter::repeat_n(")", 2 * (depth - 1)));
        words(&all)
    };
    assert!(check(&nested(MAX_DEPTH)).is_ok());
    assert_eq!(malformed(&nested(MAX_DEPTH + 1)), Malformed::Depth);
    assert_eq!(malformed(&nested(100_000)), Malformed::Depth);
}

proptest! {
    #[test]
    fn mutated_archives_never_panic(
        edits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>(), any::<bool>()), 1..6),
    ) {
        let mut nar = TREE.to_vec();
        for (at, byte, cut) in edits {
            if nar.is_empty() { break; }
            let at = at.index(nar.len());
            if cut { nar.remove(at); } else { nar[at] = byte; }
        }
        let _ = check(&nar);
    }

    #[test]
    fn accepted_archives_are_canonical(at in any::<proptest::sample::Index>(), byte in any::<u8>()) {
        let mut nar = TREE.to_vec();
        let at = at.index(nar.len());
        nar[at] = byte;
        if check(&nar).is_ok() {
            let scratch = Scratch::new();
            let target = scratch.join("x");
            restore(nar.as_slice(), &target, RestoreOptions::default()).unwrap();
            prop_assert_eq!(dump_path::<_, Error>(&target, Vec::new(), &mut |_, _| Ok(true)).unwrap(), nar);
        }
    }
}
