//! Parses the files named on the command line, and shows each as `nix-instantiate --parse` does.
//!
//! `--quiet` shows nothing but errors: the parser's benchmark. `--globals=file` names a file with the names of the globals, one on a line; without it
//! every name is one. `@list` reads names from the file `list`, one on a line. All files are parsed
//! into one arena and one table of symbols, as an evaluation does.

use nix_lang::arena::Arena;
use nix_lang::parser::{parse, parse_to_show, ParseOptions};
use nix_lang::show::show;
use nix_lang::source::{Origin, SourceMap};
use nix_lang::symbol::{Sym, Symbols};
use nix_lang::value::Val;
use std::collections::HashSet;
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::{Duration, Instant};

fn main() {
    // The parser may need more stack than a process starts with.
    let thread = std::thread::Builder::new().stack_size(64 << 20).spawn(run);
    let failed = thread.expect("a thread can be started").join().expect("the parser does not panic");
    std::process::exit(i32::from(failed));
}

fn run() -> bool {
    let mut quiet = false;
    let mut globals = None;
    let mut files = Vec::new();
    for arg in std::env::args_os().skip(1) {
        let bytes = arg.into_vec();
        match &bytes[..] {
            b"--quiet" => quiet = true,
            [b'-', b'-', b'g', b'l', b'o', b'b', b'a', b'l', b's', b'=', list @ ..] => {
                let text = std::fs::read(std::ffi::OsStr::from_bytes(list)).expect("the list can be read");
                globals = Some(text.split(|&c| c == b'\n').map(<[u8]>::to_vec).collect::<Vec<_>>());
            }
            [b'@', list @ ..] => {
                let text = std::fs::read(std::ffi::OsStr::from_bytes(list)).expect("the list can be read");
                files.extend(text.split(|&c| c == b'\n').filter(|l| !l.is_empty()).map(<[u8]>::to_vec));
            }
            _ => files.push(bytes),
        }
    }
    let arena = Arena::new();
    let mut symbols = Symbols::new(&arena);
    let mut sources = SourceMap::default();
    let globals: Option<HashSet<Sym>> = globals.map(|names| names.iter().map(|name| symbols.intern(name)).collect());
    let home = std::env::var_os("HOME").map(|h| h.into_vec());
    let (mut failed, mut bytes, mut time) = (0, 0, Duration::ZERO);
    for name in &files {
        let file = PathBuf::from(std::ffi::OsString::from_vec(name.clone()));
        let text = match std::fs::read(&file) {
            Ok(text) => text,
            Err(e) => {
                eprintln!("{}: {e}", file.display());
                failed += 1;
                continue;
            }
        };
        let folder = std::path::absolute(&file).ok().and_then(|f| f.parent().map(PathBuf::from)).unwrap_or_default();
        let start = Instant::now();
        let Some(base) = sources.add(Origin::File(name.clone().into()), &text) else {
            eprintln!("more than 4 GiB of sources");
            return true;
        };
        let options = ParseOptions {
            base,
            base_dir: folder.as_os_str().as_bytes(),
            home: home.as_deref(),
            pipe_operators: true,
            // What a global is does not matter here.
            global: &|sym| globals.as_ref().is_none_or(|g| g.contains(&sym)).then_some(Val::NULL),
            global_names: &|| globals.iter().flatten().copied().collect(),
            outer: &[],
        };
        let parser = if quiet { parse } else { parse_to_show };
        let result = parser(&arena, &mut symbols, &text, &options);
        time += start.elapsed();
        bytes += text.len();
        match result {
            Ok(expr) if !quiet => {
                let mut text = show(expr, &symbols);
                text.push(b'\n');
                std::io::stdout().write_all(&text).expect("the output can be written");
            }
            Ok(_) => {}
            Err(e) => {
                failed += 1;
                let (line, column) = sources.place(e.pos).map_or((0, 0), |p| (p.line, p.column));
                eprintln!("{}:{line}:{column}: {e}", file.display());
                if let Some(hint) = &e.hint {
                    eprintln!("  hint: {hint}");
                }
            }
        }
    }
    if quiet {
        let seconds = time.as_secs_f64();
        let rate = bytes as f64 / 1e6 / seconds.max(1e-9);
        eprintln!(
            "{} files, {failed} failed, {:.1} MB in {seconds:.3} s: {rate:.0} MB/s; arena {:.1} MB, {} symbols",
            files.len(),
            bytes as f64 / 1e6,
            arena.used() as f64 / 1e6,
            symbols.len()
        );
    }
    failed > 0
}
