//! Files and texts: parsing, `import`, search paths.

use super::*;
use crate::data::path;
use crate::error::did_you_mean;
use crate::parser::{self, ParseOptions};
use crate::world::FileType;

type Parse = fn(&'static Arena, &mut Symbols<'static>, &[u8], &ParseOptions) -> Result<&'static Expr<'static>, Box<Error>>;

/// How many symlinks lead to a file, as far as Linux follows them and some more.
const MOST_LINKS: usize = 64;

impl Evaluator {
    /// Parses a text. Relative paths in it start from `base_dir`; `outer` are scopes around it, innermost last.
    pub fn parse(&mut self, origin: Origin, text: &[u8], base_dir: &[u8], outer: &[&[(Sym, u32)]]) -> R<&'static Expr<'static>> {
        self.parse_by(parser::parse, origin, text, base_dir, outer)
    }

    /// Parses a text for `show`; the tree is not fit for evaluation.
    pub(crate) fn parse_to_show(&mut self, origin: Origin, text: &[u8], base_dir: &[u8]) -> R<&'static Expr<'static>> {
        self.parse_by(parser::parse_to_show, origin, text, base_dir, &[])
    }

    fn parse_by(&mut self, parse: Parse, origin: Origin, text: &[u8], base_dir: &[u8], outer: &[&[(Sym, u32)]]) -> R<&'static Expr<'static>> {
        let Some(base) = self.sources.add(origin.clone(), text) else {
            return Err(self.throw(Code::OutOfBounds, Pos::NONE, "more than 4 GiB of sources were loaded"));
        };
        if !matches!(origin, Origin::File(_)) {
            self.file_texts.insert(base.0, text.to_vec());
        }
        let globals = &self.globals;
        let options = ParseOptions {
            base,
            base_dir,
            home: self.settings.home.as_deref(),
            pipe_operators: self.settings.pipe_operators,
            global: &|sym| globals.get(&sym).copied(),
            global_names: &|| globals.keys().copied().collect(),
            outer,
        };
        match parse(self.arena, &mut self.symbols, text, &options) {
            Ok(expr) => Ok(expr),
            Err(e) => Err(self.raise(e)),
        }
    }

    /// Evaluates a text of its own (`-E`, the repl).
    pub fn eval_text(&mut self, text: &[u8], origin: Origin, base_dir: &[u8]) -> R<Val> {
        let expr = self.parse(origin, text, base_dir, &[])?;
        self.eval(expr, EnvRef::NULL)
    }

    /// Where a path's last component leads, its symlinks followed, and what is there.
    pub(crate) fn follow_links(&mut self, start: &[u8], pos: Pos) -> R<(Vec<u8>, Option<FileType>)> {
        let mut current = self.world.logical_path(start.to_vec());
        for _ in 0..MOST_LINKS {
            match self.world.file_type(&current) {
                Ok(Some(FileType::Symlink)) => match self.world.read_link(&current) {
                    Ok(target) => current = self.world.logical_path(path::join(path::dir_of_path(&current), &target)),
                    Err(e) => return Err(self.throw_world(e, pos)),
                },
                Ok(kind) => return Ok((current, kind)),
                Err(e) => return Err(self.throw_world(e, pos)),
            }
        }
        Err(self.too_many_links(start, pos))
    }

    /// A path with all symlinks on the way followed, until it is in the store.
    pub(crate) fn follow_into_store(&mut self, start: &[u8], pos: Pos) -> R<Vec<u8>> {
        let mut done = b"/".to_vec();
        let mut pending = self.world.logical_path(start.to_vec());
        for _ in 0..MOST_LINKS {
            if nix_formats::store_path::is_in_store(&pending, &self.settings.store_dir) {
                return Ok(pending);
            }
            let mut rest = pending.split(|&b| b == b'/').filter(|part| !part.is_empty());
            let target = loop {
                let Some(part) = rest.next() else { return Ok(done) };
                let here = path::join(&done, part);
                match self.world.file_type(&here) {
                    Ok(Some(FileType::Symlink)) => match self.world.read_link(&here) {
                        Ok(target) => break path::join(&done, &target),
                        Err(e) => return Err(self.throw_world(e, pos)),
                    },
                    Ok(_) => done = here,
                    Err(e) => return Err(self.throw_world(e, pos)),
                }
            };
            let below = rest.collect::<Vec<_>>().join(&b'/');
            pending = self.world.logical_path(path::join(&target, &below));
            done = b"/".to_vec();
        }
        Err(self.too_many_links(start, pos))
    }

    fn too_many_links(&mut self, start: &[u8], pos: Pos) -> Thrown {
        let shown = String::from_utf8_lossy(start).into_owned();
        self.throw(Code::Io, pos, format!("too many symbolic links: '{shown}'"))
    }

    /// The file that `import path` reads: symlinks followed, since relative paths start from where it really is; a folder's `default.nix`.
    pub(crate) fn resolve_import(&mut self, file: &[u8], pos: Pos) -> R<Vec<u8>> {
        let (found, kind) = self.follow_links(file, pos)?;
        Ok(if kind == Some(FileType::Directory) { path::join(&found, b"default.nix") } else { found })
    }

    /// `import path`; a file is evaluated once.
    pub fn eval_file(&mut self, file: &[u8], pos: Pos) -> R<Val> {
        if let Some(&known) = self.files.get(file) {
            return self.force(known);
        }
        if let Some(text) = builtins::embedded_file(file) {
            let v = self.eval_text(text, Origin::String(text.into()), b"/")?;
            self.files.insert(file.to_vec(), v);
            return Ok(v);
        }
        let resolved = self.resolve_import(file, pos)?;
        if let Some(&known) = self.files.get(&resolved) {
            self.files.insert(file.to_vec(), known);
            return self.force(known);
        }
        let expr = self.parse_file(&resolved, &[], pos)?;
        let v = match self.eval(expr, EnvRef::NULL) {
            Ok(v) => v,
            Err(t) => {
                self.frame(pos, |_| format!("while evaluating the file '{}'", String::from_utf8_lossy(&resolved)));
                return Err(t);
            }
        };
        self.files.insert(resolved, v);
        self.files.insert(file.to_vec(), v);
        Ok(v)
    }

    /// Parses a file that `resolve_import` gave.
    pub fn parse_file(&mut self, resolved: &[u8], outer: &[&[(Sym, u32)]], pos: Pos) -> R<&'static Expr<'static>> {
        let text = match self.world.read_file(resolved) {
            Ok(text) => text,
            Err(e) => return Err(self.throw_world(e, pos)),
        };
        let dir = path::dir_of_path(resolved).to_vec();
        self.parse(Origin::File(resolved.into()), &text, &dir, outer)
    }

    /// Forgets all files, so that a changed one is read again (the repl's `:r`).
    pub fn forget_files(&mut self) {
        self.files.clear();
    }

    /// What `<name>` finds among entries of `(prefix, path)`.
    pub fn find_file(&mut self, entries: &[(Vec<u8>, Vec<u8>)], name: &[u8], pos: Pos) -> R<Vec<u8>> {
        for (prefix, place) in entries {
            let rest = if prefix.is_empty() {
                name
            } else if name == prefix.as_slice() {
                b""
            } else if name.starts_with(prefix) && name.get(prefix.len()) == Some(&b'/') {
                &name[prefix.len() + 1..]
            } else {
                continue;
            };
            let base = match self.world.search_entry(place) {
                Ok(Some(base)) => base,
                Ok(None) => continue,
                Err(e) => return Err(self.throw_world(e, pos)),
            };
            let mut found = base;
            if !rest.is_empty() {
                found.push(b'/');
                found.extend_from_slice(rest);
            }
            let found = path::canonicalise(&found);
            match self.world.exists(&found) {
                Ok(true) => return Ok(found),
                Ok(false) => {}
                Err(e) => return Err(self.throw_world(e, pos)),
            }
        }
        if let Some(rest) = name.strip_prefix(b"nix/") {
            let embedded = [builtins::EMBEDDED_DIR, rest].concat();
            if builtins::embedded_file(&embedded).is_some() {
                return Ok(embedded);
            }
        }
        let shown = String::from_utf8_lossy(name).into_owned();
        let mut e = Error::new(Code::SearchPath, pos, format!("file '{shown}' was not found in the Nix search path"));
        let first = name.split(|&c| c == b'/').next().unwrap_or(name);
        e.hint = did_you_mean(first, entries.iter().map(|(p, _)| p.as_slice()).filter(|p| *p != first))
            .or_else(|| Some(format!("add it by `-I {shown}=PATH` or NIX_PATH")));
        Err(self.raise(e))
    }
}
