//! Edits of the programs and libraries of this machine, and of damaged ones.

use std::path::{Path, PathBuf};
use std::process::Command;

use elf_edit::{edit, read, Error};
use proptest::prelude::*;

const RUNPATH: &[u8] = b"/nix/store/00000000000000000000000000000000-libc6-2.36/usr/lib/x86_64-linux-gnu:/nix/store/x/lib";

fn apply(data: &[u8], interpreter: Option<&[u8]>, runpath: Option<&[u8]>) -> Result<Vec<u8>, Error> {
    let mut result = data.to_vec();
    for write in edit(data, interpreter, runpath)? {
        let (start, end) = (write.offset as usize, write.offset as usize + write.bytes.len());
        if result.len() < end {
            result.resize(end, 0);
        }
        result[start..end].copy_from_slice(&write.bytes);
    }
    Ok(result)
}

/// A program that is certainly here.
fn own() -> Vec<u8> {
    std::fs::read("/proc/self/exe").unwrap()
}

fn some_files() -> Vec<PathBuf> {
    let folders = ["/usr/bin", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64"];
    let mut files: Vec<_> = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.is_file() && !path.is_symlink());
    files.sort();
    files.into_iter().step_by(5).take(200).collect()
}

fn run(program: &Path, arguments: &[&str]) -> (bool, Vec<u8>) {
    let output = Command::new(program).args(arguments).output().unwrap();
    (output.status.success(), output.stdout)
}

/// How many segments' pages have the program headers in them, as glibc looks for these.
fn segments_over_headers(data: &[u8]) -> usize {
    let number = |at: usize| u64::from_le_bytes(data[at..at + 8].try_into().unwrap());
    let (start, count) = (number(32), u64::from(data[56]));
    let segments = (0..count).map(|index| (start + 56 * index) as usize).filter(|at| data[*at..*at + 4] == [1, 0, 0, 0]);
    segments
        .filter(|at| {
            let (offset, size) = (number(at + 8), number(at + 32));
            offset / 4096 * 4096 <= start && start + 56 * count <= (offset + size).next_multiple_of(4096)
        })
        .count()
}

#[test]
fn what_is_set_is_read_and_nothing_else_changes() {
    let mut seen = 0;
    for path in some_files() {
        let data = std::fs::read(&path).unwrap();
        let Ok(Some(before)) = read(&data) else { continue };
        let loader = before.interpreter.is_some().then_some(&b"/nix/store/loader"[..]);
        let edited = apply(&data, loader, Some(RUNPATH)).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let after = read(&edited).unwrap().unwrap();
        assert_eq!((after.runpath.as_deref(), after.interpreter.as_deref()), (Some(RUNPATH), loader), "{}", path.display());
        assert_eq!((&after.needed, &after.soname, after.machine), (&before.needed, &before.soname, before.machine));
        assert_eq!(apply(&edited, loader, Some(RUNPATH)).unwrap(), edited, "a second time");
        // Now the spare program header is gone, if there was one.
        let again = apply(&edited, None, Some(b"/other")).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(read(&again).unwrap().unwrap().needed, before.needed);
        assert_eq!(segments_over_headers(&again), 1, "{}", path.display());
        seen += 1;
    }
    assert!(seen > 20);
}

#[test]
fn edited_programs_run_again_and_again() {
    let folder = std::env::temp_dir().join(format!("elf-edit-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let mut data = own();
    let loader = read(&data).unwrap().unwrap().interpreter.unwrap();
    let loader = std::fs::canonicalize(String::from_utf8(loader).unwrap()).unwrap();
    // The first edit takes the spare program header, if there is one; from the second on the table has to move.
    for round in 0..4 {
        let runpath = format!("/no/such/folder/{round}");
        let other = PathBuf::from("/").join("./".repeat(round)).join(loader.strip_prefix("/").unwrap());
        data = apply(&data, Some(other.as_os_str().as_encoded_bytes()), Some(runpath.as_bytes())).unwrap();
        assert_eq!(read(&data).unwrap().unwrap().runpath.unwrap(), runpath.as_bytes());
        let program = folder.join(round.to_string());
        std::fs::write(&program, &data).unwrap();
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let (is_well, output) = run(&program, &["--list"]);
        assert!(is_well && String::from_utf8_lossy(&output).contains("edited_programs_run"), "round {round}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn an_empty_runpath_is_none() {
    let edited = apply(&own(), None, Some(RUNPATH)).unwrap();
    assert_eq!(read(&apply(&edited, None, Some(b"")).unwrap()).unwrap().unwrap().runpath, None);
}

#[test]
fn others_are_left_alone() {
    assert_eq!(read(b"#!/bin/sh\n"), Ok(None));
    assert_eq!(read(b""), Ok(None));
    assert!(matches!(read(b"\x7fELF"), Err(Error::Damaged(_))));
    let mut narrow = own();
    narrow[4] = 1;
    assert!(matches!(read(&narrow), Err(Error::Unsupported(_))));
    let mut object = own();
    object[16] = 1;
    assert_eq!(read(&object), Ok(None));
    assert!(matches!(edit(&object, None, Some(b"x")), Err(Error::Unsupported(_))));
    assert!(matches!(edit(&own(), None, Some(b"x\0y")), Err(Error::Unsupported(_))));
}

proptest! {
    #[test]
    fn no_bytes_panic(data in proptest::collection::vec(any::<u8>(), 0..600)) {
        let mut elf = own()[..64].to_vec();
        elf.extend(data);
        let _ = read(&elf);
        let _ = edit(&elf, Some(b"/l"), Some(RUNPATH));
    }

    /// Damage where the tables are: header and program headers, the dynamic section, section headers.
    #[test]
    fn damage_does_not_panic(
        changes in proptest::collection::vec((0usize..4, 0usize..900, prop_oneof![any::<u8>(), Just(0xff), Just(0x7f), Just(0)]), 1..12),
        cut in proptest::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let mut data = SMALL.with(|small| small.clone());
        let number = |at: usize| u64::from_le_bytes(data[at..at + 8].try_into().unwrap()) as usize;
        let is_dynamic = |at: &usize| data[*at..*at + 4] == [2, 0, 0, 0];
        let dynamic = number((64..64 + 56 * usize::from(data[56])).step_by(56).find(is_dynamic).unwrap() + 8);
        let places = [0, 64, dynamic, number(40)];
        for (table, at, byte) in changes {
            let place = places[table] + at;
            if let Some(found) = data.get_mut(place) {
                *found = byte;
            }
        }
        if let Some(cut) = cut {
            data.truncate(cut.index(data.len()));
        }
        let _ = read(&data);
        let _ = edit(&data, Some(b"/l"), Some(RUNPATH));
    }
}

thread_local! {
    static SMALL: Vec<u8> = std::fs::read("/usr/bin/true").unwrap();
}
