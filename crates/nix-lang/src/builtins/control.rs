//! Evaluation itself: errors, order, traces, imports.

use super::*;
use crate::error::Code;
use crate::eval::Coerce;
use crate::value::Kind;

pub const TABLE: &[Builtin] = &[
    row("abort", &["s"], 0, abort, "Ends the evaluation with the error message `s`."),
    row("throw", &["s"], 0, throw, "Fails with the message `s`; `tryEval` can catch it."),
    row("tryEval", &["e"], 0, try_eval, "Evaluates `e` shallowly: `{ success, value }`; catches `throw` and failed assertions."),
    row("seq", &["e1", "e2"], 1, seq, "Evaluates `e1`, then gives `e2`."),
    row("deepSeq", &["e1", "e2"], 1, deep_seq, "Evaluates `e1` and all that is in it, then gives `e2`."),
    row("trace", &["e1", "e2"], 1, trace, "Prints `e1` to standard error, then gives `e2`."),
    row("traceVerbose", &["e1", "e2"], 0, trace_verbose, "As `trace`, if the setting `trace-verbose` is on."),
    row("warn", &["e1", "e2"], 0, warn, "Prints the string `e1` as a warning, then gives `e2`."),
    row("addErrorContext", &["message", "e"], 0, add_error_context, "Gives `e`; an error of it shows `message` in its trace."),
    row("break", &["v"], 0, breakpoint, "Stops in the debugger, if there is one, and gives `v`."),
    row("import", &["path"], 1, import, "Evaluates the file (or the folder's `default.nix`) at `path`."),
    row("scopedImport", &["scope", "path"], 1, scoped_import, "As `import`, with the attributes of `scope` as additional variables."),
    row("genericClosure", &["attrs"], 1, generic_closure, "The closure of `startSet` under `operator`, items told apart by `key`."),
    row("currentTime", &["_"], 0, current_time, "The time at which it was first looked at, in seconds since 1970."),
    row("nixPath", &["_"], 0, nix_path, "The search path, as a list of `{ prefix, path }`."),
];

fn abort(ev: &mut Ev, args: Args, pos: At) -> Res {
    let s = ev.coerce_to_string(args[0], Coerce::INTERPOLATION, pos)?;
    let text = String::from_utf8_lossy(s.bytes()).into_owned();
    Err(ev.throw(Code::Aborted, pos, format!("evaluation aborted with the following error message: '{text}'")))
}

fn throw(ev: &mut Ev, args: Args, pos: At) -> Res {
    let s = ev.coerce_to_string(args[0], Coerce::INTERPOLATION, pos)?;
    let text = String::from_utf8_lossy(s.bytes()).into_owned();
    Err(ev.throw(Code::Thrown, pos, text))
}

fn try_eval(ev: &mut Ev, args: Args, _: At) -> Res {
    let (value, success) = match ev.force(args[0]) {
        Ok(v) => (v, true),
        Err(t) => {
            if !ev.error.as_ref().is_some_and(|e| e.code.is_catchable()) {
                return Err(t);
            }
            ev.error = None;
            (Val::FALSE, false)
        }
    };
    let mut set = AttrsBuilder::with_capacity(2);
    set.push(ev.known.success, Val::bool(success));
    set.push(ev.known.value, value);
    Ok(set.finish(ev))
}

fn seq(ev: &mut Ev, args: Args, _: At) -> Res {
    ev.force(args[1])
}

fn deep_seq(ev: &mut Ev, args: Args, _: At) -> Res {
    ev.force_deep(args[0])?;
    ev.force(args[1])
}

fn show_traced(ev: &mut Ev, v: Val) -> R<Vec<u8>> {
    match v.as_str() {
        Some(s) => Ok(s.bytes().to_vec()),
        None => ev.print(v, crate::eval::PrintStyle::Plain),
    }
}

/// What the world says of a message or a stop.
fn told(ev: &mut Ev, result: crate::world::WorldResult<()>, pos: At) -> R<()> {
    result.map_err(|e| ev.throw_world(e, pos))
}

fn trace(ev: &mut Ev, args: Args, pos: At) -> Res {
    let text = show_traced(ev, args[0])?;
    let result = ev.world.trace(&text);
    told(ev, result, pos)?;
    ev.force(args[1])
}

fn trace_verbose(ev: &mut Ev, args: Args, pos: At) -> Res {
    if ev.settings.trace_verbose {
        let shown = ev.force(args[0])?;
        return trace(ev, &[shown, args[1]], pos);
    }
    ev.force(args[1])
}

fn warn(ev: &mut Ev, args: Args, pos: At) -> Res {
    let s = ev.expect_string(args[0], pos)?;
    let result = ev.world.warn(s.bytes());
    told(ev, result, pos)?;
    if ev.settings.abort_on_warn {
        let e = crate::error::Error::new(Code::Aborted, pos, "aborting to reveal stack trace of warning, as abort-on-warn is set");
        return Err(ev.raise(e));
    }
    ev.force(args[1])
}

fn add_error_context(ev: &mut Ev, args: Args, pos: At) -> Res {
    match ev.force(args[1]) {
        Ok(v) => Ok(v),
        Err(t) => {
            // The message is evaluated while an error waits; that one goes on in any case.
            let error = ev.take_error();
            let text = ev.coerce_to_string(args[0], Coerce::STRING, pos).map(|s| String::from_utf8_lossy(s.bytes()).into_owned());
            match text {
                Ok(text) => {
                    ev.raise(error);
                    ev.frame(pos, |_| text);
                }
                // Whoever stops the evaluation is heard here too.
                Err(_) if ev.error.as_ref().is_some_and(|e| matches!(e.code, Code::Interrupted | Code::OutOfMemory)) => {}
                Err(_) => drop(ev.raise(error)),
            }
            Err(t)
        }
    }
}

fn breakpoint(ev: &mut Ev, args: Args, pos: At) -> Res {
    let result = ev.world.breakpoint();
    told(ev, result, pos)?;
    ev.force(args[0])
}

fn import(ev: &mut Ev, args: Args, pos: At) -> Res {
    match args[0].as_path() {
        Some(path) => ev.eval_file(path.bytes(), pos),
        None => {
            let file = import_path(ev, args[0], pos)?;
            if let Some(v) = super::derivation::import_derivation(ev, args[0], &file, pos)? {
                return Ok(v);
            }
            ev.eval_file(&file, pos)
        }
    }
}

/// The path to import, its context built.
fn import_path(ev: &mut Ev, v: Val, pos: At) -> R<Vec<u8>> {
    super::files::realised_path(ev, v, pos)
}

fn scoped_import(ev: &mut Ev, args: Args, pos: At) -> Res {
    let scope = ev.expect_attrs(args[0], pos)?;
    let file = import_path(ev, args[1], pos)?;
    let resolved = ev.resolve_import(&file, pos)?;
    let (names, env) = ev.scope_of(scope);
    let expr = ev.parse_file(&resolved, &[&names], pos)?;
    ev.eval(expr, env)
}

fn generic_closure(ev: &mut Ev, args: Args, pos: At) -> Res {
    let attrs = ev.expect_attrs(args[0], pos)?;
    let start = ev.expect_attr(attrs, ev.known.start_set, pos)?;
    let start = ev.expect_list(start, pos)?;
    if start.is_empty() {
        return Ok(Val::list(start));
    }
    let operator = ev.expect_attr(attrs, ev.known.operator, pos)?;
    let operator = ev.expect_function(operator, pos)?;
    let mut work: std::collections::VecDeque<Val> = start.slots().iter().map(|s| s.get()).collect();
    let mut done = Vec::new();
    let mut seen = Keys::default();
    while let Some(item) = work.pop_front() {
        let item = ev.force(item)?;
        let set = ev.expect_attrs(item, pos)?;
        let key = ev.expect_attr(set, ev.known.key, pos)?;
        if !seen.insert(ev, key, pos)? {
            continue;
        }
        done.push(item);
        let next = ev.call(operator, &[item], pos)?;
        let next = ev.expect_list(next, pos)?;
        work.extend(next.slots().iter().map(|s| s.get()));
    }
    Ok(ev.list(&done))
}

/// The keys of a closure: compared by `<`, as CppNix does, but hashed where they are strings or integers.
#[derive(Default)]
struct Keys {
    strings: std::collections::HashSet<&'static [u8], crate::symbol::FxBuild>,
    ints: std::collections::HashSet<i64, crate::symbol::FxBuild>,
    others: Vec<Val>,
    /// One of the keys, to find types that do not go together.
    first: Option<Val>,
}

impl Keys {
    fn insert(&mut self, ev: &mut Ev, key: Val, pos: At) -> R<bool> {
        if let Some(first) = self.first {
            ev.compare(key, first, pos)?;
        }
        self.first.get_or_insert(key);
        match key.kind() {
            Kind::String(s) => Ok(self.strings.insert(s.bytes())),
            Kind::Int(n) if self.others.is_empty() => Ok(self.ints.insert(n)),
            _ => {
                self.others.extend(std::mem::take(&mut self.ints).into_iter().map(|n| ev.int(n)));
                for i in 0..self.others.len() {
                    if ev.compare(self.others[i], key, pos)? == Some(std::cmp::Ordering::Equal) {
                        return Ok(false);
                    }
                }
                self.others.push(key);
                Ok(true)
            }
        }
    }
}

fn current_time(ev: &mut Ev, _: Args, _: At) -> Res {
    let now = ev.world.current_time();
    Ok(ev.int(now))
}

fn nix_path(ev: &mut Ev, _: Args, _: At) -> Res {
    let entries = ev.settings.search_path.clone();
    let items: Vec<Val> = entries
        .iter()
        .map(|(prefix, path)| {
            let mut set = AttrsBuilder::with_capacity(2);
            let (path, prefix) = (ev.string(path), ev.string(prefix));
            set.push(ev.known.path, path);
            set.push(ev.known.prefix, prefix);
            set.finish(ev)
        })
        .collect();
    Ok(ev.list(&items))
}
