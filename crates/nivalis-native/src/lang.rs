//! The evaluator's face to Python: `Evaluator` and `Value`.
//!
//! Evaluation runs on a thread of its own, with the stack that it needs and without the interpreter's lock; meanwhile the calling thread
//! looks after signals, so that Ctrl-C ends an evaluation at once. A `Value` is a word that points into its evaluator's
//! memory; it keeps the evaluator alive, and after `close` every use of it is an error.

use crate::errors::raise;
use crate::eval_errors::{eval_error, plain_eval_error};
use crate::recording::Recording;
use crate::restricted::Allowed;
use crate::world::{FileWorld, HostSettings};
use nix_lang::error::{Code, Error};
use nix_lang::eval::{self, Evaluator as Kernel, PrintStyle, Settings, StrBuf, R};
use nix_lang::source::{Origin, Pos};
use nix_lang::symbol::Sym;
use nix_lang::value::{Kind, Val};
use pyo3::exceptions::{PyException, PyKeyError, PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{channel, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Bytes as Python has them in `str`: what is not UTF-8 becomes surrogates, as by `os.fsdecode`.
pub(crate) fn decode<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyString>> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(PyString::new(py, text)),
        Err(_) => Ok(PyBytes::new(py, bytes).call_method1("decode", ("utf-8", "surrogateescape"))?.cast_into::<PyString>()?),
    }
}

/// The reverse of `decode`; bytes pass as they are.
pub(crate) fn encode(value: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(bytes.as_bytes().to_vec());
    }
    let text = value.cast::<PyString>()?;
    match text.to_str() {
        Ok(text) => Ok(text.as_bytes().to_vec()),
        Err(_) => Ok(text.call_method1("encode", ("utf-8", "surrogateescape"))?.cast_into::<PyBytes>()?.as_bytes().to_vec()),
    }
}

/// How often the waiting thread looks for signals.
const SIGNAL_INTERVAL: Duration = Duration::from_millis(40);

/// How many texts are read before the first of them is parsed and shown, so that neither thread waits for the other for each.
const PARSED_AHEAD: usize = 8;

/// An error with its places resolved, made where the sources are at hand.
pub(crate) struct Located {
    pub error: Box<Error>,
    pub place: Option<crate::eval_errors::At>,
    pub trace: Vec<Option<crate::eval_errors::At>>,
}

fn locate(kernel: &Kernel, error: Box<Error>) -> Located {
    let at = |pos: Pos| crate::eval_errors::At::find(kernel, pos);
    Located { place: at(error.pos), trace: error.trace.iter().map(|f| at(f.pos)).collect(), error }
}

#[pyclass(frozen, module = "nivalis._native")]
pub struct Evaluator {
    kernel: Mutex<Option<Kernel>>,
    interrupt: Arc<AtomicBool>,
    /// An exception that the world raised while the kernel called it.
    raised: Arc<Mutex<Option<PyErr>>>,
    recording: Recording,
    /// How many calls are reading values at the moment.
    pins: AtomicUsize,
}

/// Why there was no evaluation, or no end of it.
enum Failure {
    Misuse(&'static str),
    NoThread,
    Panic(String),
}

impl Evaluator {
    /// Runs work on the kernel, on a thread with a deep stack.
    fn run<T: Send>(&self, py: Python<'_>, work: impl FnOnce(&mut Kernel) -> R<T> + Send) -> PyResult<T> {
        self.with_kernel(py, |kernel| match kernel.enter(work) {
            Ok(v) => Ok(v),
            Err(e) => Err(locate(kernel, e)),
        })
    }

    fn with_kernel<T: Send>(&self, py: Python<'_>, work: impl FnOnce(&mut Kernel) -> Result<T, Located> + Send) -> PyResult<T> {
        self.with_kernel_beside(py, work, || ())
    }

    /// As `with_kernel`; meanwhile the calling thread does what is to be done `beside`.
    fn with_kernel_beside<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&mut Kernel) -> Result<T, Located> + Send,
        beside: impl FnOnce() + Send,
    ) -> PyResult<T> {
        let mut interrupted = None;
        let outcome = py.detach(|| {
            let Ok(mut guard) = self.kernel.try_lock() else {
                return Err(Failure::Misuse("the evaluator is busy: it cannot be used from inside a call that it makes"));
            };
            let Some(kernel) = guard.as_mut() else { return Err(Failure::Misuse("the evaluator is closed")) };
            self.interrupt.store(false, Ordering::Relaxed);
            if let Ok(mut raised) = self.raised.lock() {
                // What was raised before and handled (by `tryEval`) is no cause of what comes.
                *raised = None;
            }
            let joined = std::thread::scope(|scope| {
                let (done, wait) = channel::<()>();
                let thread = std::thread::Builder::new().name("nix-lang".into()).stack_size(eval::STACK_SIZE).spawn_scoped(scope, move || {
                    let _done = done; // dropped at the end, also by a panic
                    work(kernel)
                });
                let thread = match thread {
                    Ok(thread) => thread,
                    Err(_) => return None,
                };
                beside();
                while let Err(RecvTimeoutError::Timeout) = wait.recv_timeout(SIGNAL_INTERVAL) {
                    if interrupted.is_none() {
                        if let Err(e) = Python::attach(|py| py.check_signals()) {
                            self.interrupt.store(true, Ordering::Relaxed);
                            interrupted = Some(e);
                        }
                    }
                }
                Some(thread.join())
            });
            match joined {
                None => Err(Failure::NoThread),
                Some(Err(panic)) => {
                    // Its state cannot be trusted any more; its memory stays, as another call may be reading values.
                    std::mem::forget(guard.take());
                    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
                    Err(Failure::Panic(text.unwrap_or("no message").to_string()))
                }
                Some(Ok(result)) => Ok(result),
            }
        });
        if let Some(e) = interrupted {
            return Err(e);
        }
        match outcome {
            Err(Failure::Misuse(message)) => Err(PyRuntimeError::new_err(message)),
            Err(Failure::NoThread) => {
                let message = "no thread with a stack for the evaluation could be started: the address space is too small";
                Err(plain_eval_error(py, Code::OutOfMemory, message))
            }
            Err(Failure::Panic(text)) => Err(raise("InternalError", format!("the kernel panicked: {text}"))),
            Ok(Ok(v)) => Ok(v),
            Ok(Err(located)) => {
                let cause = self.raised.lock().ok().and_then(|mut r| r.take());
                Err(eval_error(py, located, cause))
            }
        }
    }

    /// Looks at the kernel without evaluating.
    fn look<T>(&self, work: impl FnOnce(&mut Kernel) -> T) -> PyResult<T> {
        let mut guard = self.kernel.try_lock().map_err(|_| PyRuntimeError::new_err("the evaluator is busy"))?;
        let kernel = guard.as_mut().ok_or_else(|| PyRuntimeError::new_err("the evaluator is closed"))?;
        Ok(work(kernel))
    }
}

fn value(owner: &Bound<'_, Evaluator>, val: Val) -> Value {
    Value { owner: owner.clone().unbind(), val }
}

#[pymethods]
impl Evaluator {
    #[new]
    #[pyo3(signature = (host, *, store_dir, real_store_dir, system, search_path, environment, home, pure, pipe_operators, trace_verbose, abort_on_warn, max_call_depth, record, max_memory = None, allowed_uris = None))]
    #[allow(clippy::too_many_arguments)]
    fn new(
        host: Py<PyAny>,
        store_dir: String,
        real_store_dir: PathBuf,
        system: &str,
        search_path: Vec<(Bound<'_, PyAny>, Bound<'_, PyAny>)>,
        environment: &Bound<'_, PyDict>,
        home: Option<Bound<'_, PyAny>>,
        pure: bool,
        pipe_operators: bool,
        trace_verbose: bool,
        abort_on_warn: bool,
        max_call_depth: u32,
        record: bool,
        max_memory: Option<usize>,
        allowed_uris: Option<Vec<Bound<'_, PyAny>>>,
    ) -> PyResult<Self> {
        let raised = Arc::new(Mutex::new(None));
        let mut env = std::collections::HashMap::new();
        for (name, text) in environment {
            env.insert(encode(&name)?, encode(&text)?);
        }
        let settings = Settings {
            store_dir: store_dir.clone(),
            system: system.as_bytes().to_vec(),
            search_path: search_path.iter().map(|(prefix, path)| Ok((encode(prefix)?, encode(path)?))).collect::<PyResult<_>>()?,
            home: home.as_ref().map(encode).transpose()?,
            pure,
            pipe_operators,
            trace_verbose,
            abort_on_warn,
            max_call_depth,
            max_memory: max_memory.unwrap_or_else(nix_lang::arena::memory_to_use),
        };
        let recording = Recording::new(record);
        let restricted = match allowed_uris {
            Some(uris) => {
                let places = settings.search_path.iter().map(|(_, place)| place.clone());
                Some(Allowed::new(places, uris.iter().map(encode).collect::<PyResult<_>>()?))
            }
            None => None,
        };
        let host_settings = HostSettings { host, store_dir, real_store_dir, environment: env, pure, restricted };
        let world = FileWorld::new(host_settings, recording.clone(), raised.clone());
        let kernel = Kernel::new(Box::new(world), settings);
        let interrupt = kernel.interrupt_flag();
        Ok(Evaluator { kernel: Mutex::new(Some(kernel)), interrupt, raised, recording, pins: AtomicUsize::new(0) })
    }

    /// Evaluates a file (or a folder's `default.nix`).
    fn eval_file(slf: &Bound<'_, Self>, path: &Bound<'_, PyAny>) -> PyResult<Value> {
        let path = encode(path)?;
        let val = slf.get().run(slf.py(), |k| k.eval_file(&path, Pos::NONE))?;
        Ok(value(slf, val))
    }

    /// Evaluates a text; the attributes of `scope` are in scope. A lazy one is only parsed now.
    #[pyo3(signature = (text, *, base_dir, origin = "string", scope = None, lazy = false))]
    fn eval_text(
        slf: &Bound<'_, Self>,
        text: &Bound<'_, PyAny>,
        base_dir: &Bound<'_, PyAny>,
        origin: &str,
        scope: Option<&Value>,
        lazy: bool,
    ) -> PyResult<Value> {
        let (text, base_dir) = (encode(text)?, encode(base_dir)?);
        let origin = text_origin(origin, &text);
        if scope.is_some_and(|s| !s.owner.is(slf)) {
            return Err(PyTypeError::new_err("a value of another evaluator"));
        }
        let scope = scope.map(|s| s.val);
        let val = slf.get().run(slf.py(), |k| match scope {
            None if lazy => k.delay_text(&text, origin, &base_dir),
            None => k.eval_text(&text, origin, &base_dir),
            Some(scope) => k.eval_text_in(&text, origin, &base_dir, scope),
        })?;
        Ok(value(slf, val))
    }

    /// Parses a text and prints the tree as `nix-instantiate --parse` does.
    #[pyo3(signature = (text, *, base_dir, origin = "string", file = None))]
    fn show_parsed<'py>(
        slf: &Bound<'py, Self>,
        text: &Bound<'_, PyAny>,
        base_dir: &Bound<'_, PyAny>,
        origin: &str,
        file: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let (text, base_dir) = (encode(text)?, encode(base_dir)?);
        let origin = match file {
            Some(file) => Origin::File(encode(file)?.into()),
            None => text_origin(origin, &text),
        };
        let shown = slf.get().run(slf.py(), |k| k.show_parsed(&text, origin, &base_dir))?;
        Ok(PyBytes::new(slf.py(), &shown))
    }

    /// Parses one text after the other, in one call: to start a thread for each takes as long as to parse most of them.
    ///
    /// `sources` gives tuples of text, folder for relative paths, and file; what `show_parsed` gives for each is handed to `write`. Both run on
    /// the calling thread, a few texts ahead of the parser.
    fn show_parsed_each(slf: &Bound<'_, Self>, sources: &Bound<'_, PyAny>, write: &Bound<'_, PyAny>) -> PyResult<()> {
        let (sources, write) = (sources.try_iter()?.unbind(), write.clone().unbind());
        let interrupt = &slf.get().interrupt;
        let (to_parse, texts) = channel::<(Vec<u8>, Vec<u8>, Vec<u8>)>();
        let (to_write, shown) = channel::<Vec<u8>>();
        let work = move |kernel: &mut Kernel| {
            for (text, base_dir, file) in texts {
                let bytes = kernel.enter(|k| k.show_parsed(&text, Origin::File(file.into()), &base_dir)).map_err(|e| locate(kernel, e))?;
                if to_write.send(bytes).is_err() {
                    break;
                }
            }
            Ok(())
        };
        let read = || -> PyResult<_> {
            Python::attach(|py| {
                let Some(source) = sources.bind(py).clone().next() else { return Ok(None) };
                let (text, base_dir, file) = source?.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
                Ok(Some((encode(&text)?, encode(&base_dir)?, encode(&file)?)))
            })
        };
        // What ends it at once, and what is to be told after all that comes before is written.
        let (mut stopped, mut failed) = (Ok(()), Ok(()));
        let beside = || {
            let (mut under_way, mut is_more) = (0, true);
            'all: loop {
                while is_more && under_way < PARSED_AHEAD {
                    match read() {
                        Ok(Some(source)) => {
                            under_way += 1;
                            is_more = to_parse.send(source).is_ok();
                        }
                        Ok(None) => is_more = false,
                        Err(e) if Python::attach(|py| e.is_instance_of::<PyException>(py)) => (failed, is_more) = (Err(e), false),
                        // Ctrl-C.
                        Err(e) => {
                            interrupt.store(true, Ordering::Relaxed);
                            stopped = Err(e);
                            break 'all;
                        }
                    }
                }
                if under_way == 0 {
                    break;
                }
                let done = match shown.recv_timeout(SIGNAL_INTERVAL) {
                    Ok(bytes) => {
                        under_way -= 1;
                        Python::attach(|py| write.call1(py, (PyBytes::new(py, &bytes),)).map(|_| ()))
                    }
                    Err(RecvTimeoutError::Timeout) => Python::attach(|py| py.check_signals()),
                    // The parser has failed, and says so itself.
                    Err(RecvTimeoutError::Disconnected) => break,
                };
                if done.is_err() {
                    interrupt.store(true, Ordering::Relaxed);
                    stopped = done;
                    break;
                }
            }
            drop((to_parse, shown));
        };
        let parsed = slf.get().with_kernel_beside(slf.py(), work, beside);
        stopped.and(parsed).and(failed)
    }

    /// `builtins`
    fn builtins(slf: &Bound<'_, Self>) -> PyResult<Value> {
        let val = slf.get().look(|k| k.builtins())?;
        Ok(value(slf, val))
    }

    /// The file that `<name>` finds.
    fn find_file<'py>(slf: &Bound<'py, Self>, name: &Bound<'_, PyAny>) -> PyResult<Bound<'py, PyString>> {
        let name = encode(name)?;
        let found = slf.get().run(slf.py(), |k| {
            let entries = k.settings.search_path.clone();
            k.find_file(&entries, &name, Pos::NONE)
        })?;
        decode(slf.py(), &found)
    }

    /// A Nix value of Python's None, bool, int, float, str, list, tuple, dict, path or `Value`.
    fn from_python(slf: &Bound<'_, Self>, object: &Bound<'_, PyAny>) -> PyResult<Value> {
        let plain = Plain::read(object, slf, 0)?;
        let val = slf.get().look(|k| plain.build(k))?;
        Ok(value(slf, val))
    }

    /// Hands all that evaluation wrote to the host.
    fn flush(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.get().with_kernel(slf.py(), |k| match k.world.flush() {
            Ok(()) => Ok(()),
            Err(e) => Err(locate(k, Error::new(e.code, Pos::NONE, e.message))),
        })
    }

    /// What the evaluation looked at, and what it said; see `world.rs`.
    fn recording<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let recorded = slf.get().recording.clone();
        recorded.to_python(slf.py())
    }

    /// Forgets the files that were evaluated, so that they are read again.
    fn forget_files(&self) -> PyResult<()> {
        self.look(|k| k.forget_files())
    }

    /// Bytes that the kernel holds.
    fn allocated(&self) -> PyResult<usize> {
        self.look(|k| k.allocated())
    }

    /// Ends a running evaluation from another thread.
    fn interrupt(&self) {
        self.interrupt.store(true, Ordering::Relaxed);
    }

    /// Gives the memory back. Values of this evaluator cannot be used any more.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let busy = || PyRuntimeError::new_err("the evaluator is busy");
        let mut guard = self.kernel.try_lock().map_err(|_| busy())?;
        if self.pins.load(Ordering::Relaxed) > 0 {
            return Err(busy());
        }
        let kernel = guard.take();
        drop(guard);
        py.detach(|| drop(kernel));
        Ok(())
    }
}

fn text_origin(origin: &str, text: &[u8]) -> Origin {
    match origin {
        "stdin" => Origin::Stdin(text.into()),
        _ => Origin::String(text.into()),
    }
}

/// What Python objects become, read under the interpreter's lock and built into values afterwards.
enum Plain {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    String(Vec<u8>),
    Path(Vec<u8>),
    List(Vec<Plain>),
    Set(Vec<(Vec<u8>, Plain)>),
    Value(Val),
}

impl Plain {
    fn read(object: &Bound<'_, PyAny>, owner: &Bound<'_, Evaluator>, depth: usize) -> PyResult<Plain> {
        if depth > 500 {
            return Err(PyTypeError::new_err("the object is nested too deeply (or contains itself)"));
        }
        if object.is_none() {
            return Ok(Plain::Null);
        }
        if let Ok(value) = object.cast::<Value>() {
            let value = value.borrow();
            if !value.owner.is(owner) {
                return Err(PyTypeError::new_err("a value of another evaluator"));
            }
            return Ok(Plain::Value(value.val));
        }
        if let Ok(b) = object.cast::<PyBool>() {
            return Ok(Plain::Bool(b.is_true()));
        }
        if object.is_instance_of::<PyInt>() {
            return Ok(Plain::Int(object.extract()?));
        }
        if object.is_instance_of::<PyFloat>() {
            return Ok(Plain::Float(object.extract()?));
        }
        if object.is_instance_of::<PyString>() || object.is_instance_of::<PyBytes>() {
            return Ok(Plain::String(encode(object)?));
        }
        if let Some(value) = object.getattr_opt("__nix_value__")? {
            return Plain::read(&value, owner, depth + 1);
        }
        if object.hasattr("__fspath__")? {
            return Ok(Plain::Path(encode(&object.call_method0("__fspath__")?)?));
        }
        if object.hasattr("keys")? {
            let mut items = Vec::new();
            for key in object.call_method0("keys")?.try_iter()? {
                let key = key?;
                items.push((encode(&key)?, Plain::read(&object.get_item(&key)?, owner, depth + 1)?));
            }
            return Ok(Plain::Set(items));
        }
        if let Ok(items) = object.try_iter() {
            return Ok(Plain::List(items.map(|item| Plain::read(&item?, owner, depth + 1)).collect::<PyResult<_>>()?));
        }
        Err(PyTypeError::new_err(format!("no Nix value for a Python object of type {}", object.get_type().name()?)))
    }

    fn build(&self, k: &mut Kernel) -> Val {
        match self {
            Plain::Null => Val::NULL,
            Plain::Bool(b) => Val::bool(*b),
            Plain::Int(n) => k.int(*n),
            Plain::Float(x) => k.float(*x),
            Plain::String(s) => k.string(s),
            Plain::Path(p) => Val::path(k.arena(), &nix_lang::data::path::canonicalise(p)),
            Plain::List(items) => {
                let items: Vec<Val> = items.iter().map(|item| item.build(k)).collect();
                k.list(&items)
            }
            Plain::Set(items) => {
                let mut set = eval::AttrsBuilder::with_capacity(items.len());
                for (key, item) in items {
                    let v = item.build(k);
                    set.push(k.symbols.intern(key), v);
                }
                set.finish(k)
            }
            Plain::Value(v) => *v,
        }
    }
}

/// A value of the Nix language, perhaps not evaluated yet.
#[pyclass(frozen, module = "nivalis._native")]
pub struct Value {
    owner: Py<Evaluator>,
    val: Val,
}

/// An evaluated value whose memory stays.
struct Forced<'v> {
    val: Val,
    owner: &'v Evaluator,
}

impl std::ops::Deref for Forced<'_> {
    type Target = Val;
    fn deref(&self) -> &Val {
        &self.val
    }
}

impl Drop for Forced<'_> {
    fn drop(&mut self) {
        self.owner.pins.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Value {
    fn run<T: Send>(&self, py: Python<'_>, work: impl FnOnce(&mut Kernel, Val) -> R<T> + Send) -> PyResult<T> {
        let val = self.val;
        self.owner.get().run(py, move |k| work(k, val))
    }

    /// The value in weak head normal form; without a thread where it is that already. The evaluator cannot be closed as long as the
    /// result lives, so what the value points to can be read.
    fn forced(&self, py: Python<'_>) -> PyResult<Forced<'_>> {
        let owner = self.owner.get();
        // The cell may only be read while nobody evaluates.
        let known = owner.look(|_| match self.val.as_thunk() {
            None => Some(self.val),
            Some(thunk) => thunk.value(),
        })?;
        // From here to the end of the caller this thread has the interpreter's lock, or `pins` keeps others from closing.
        owner.pins.fetch_add(1, Ordering::Relaxed);
        let mut forced = Forced { val: self.val, owner };
        forced.val = match known {
            Some(v) => v,
            None => self.run(py, |k, v| k.force(v))?,
        };
        Ok(forced)
    }

    fn sibling(&self, py: Python<'_>, val: Val) -> Value {
        Value { owner: self.owner.clone_ref(py), val }
    }
}

#[pymethods]
impl Value {
    #[getter]
    fn evaluator(&self, py: Python<'_>) -> Py<Evaluator> {
        self.owner.clone_ref(py)
    }

    /// The type's name as `builtins.typeOf` gives it.
    #[getter]
    fn kind(&self, py: Python<'_>) -> PyResult<&'static str> {
        let v = self.forced(py)?;
        self.owner.get().look(|k| k.type_of(*v))
    }

    /// Whether the value is computed already (shallowly).
    #[getter]
    fn is_forced(&self) -> PyResult<bool> {
        self.owner.get().look(|_| self.val.as_thunk().is_none_or(|thunk| thunk.value().is_some()))
    }

    /// Evaluates, shallowly or with all that is inside.
    #[pyo3(signature = (deep = false))]
    fn force(&self, py: Python<'_>, deep: bool) -> PyResult<()> {
        if deep {
            return self.run(py, |k, v| k.force_deep(v));
        }
        self.forced(py).map(drop)
    }

    /// An integer, float, Boolean, null, string or path (as `str`) in Python's own type.
    fn scalar(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let v = self.forced(py)?;
        scalar(py, *v)?.ok_or_else(|| PyTypeError::new_err("not a scalar"))
    }

    /// A string's or path's bytes.
    fn raw<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        match self.forced(py)?.kind() {
            Kind::String(s) | Kind::Path(s) => Ok(PyBytes::new(py, s.bytes())),
            _ => Err(PyTypeError::new_err("not a string")),
        }
    }

    /// A string's context, each element as CppNix writes it: `path`, `!output!drv` or `=drv`.
    fn context(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let v = self.forced(py)?;
        self.owner.get().look(|k| k.context_texts(*v))
    }

    /// The value as `builtins.toString` has it, or as it becomes a part of a string: there are fewer kinds then, and paths are copied.
    #[pyo3(signature = (*, interpolated = false))]
    fn coerced<'py>(&self, py: Python<'py>, interpolated: bool) -> PyResult<Bound<'py, PyBytes>> {
        let s = self.run(py, |k, v| if interpolated { k.interpolate(v) } else { k.to_text(v) }.map(|s| s.val()))?;
        Ok(PyBytes::new(py, s.as_str().map_or(b"", |s| s.bytes())))
    }

    /// A set's attribute names in alphabetical order.
    fn names<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyString>>> {
        let v = self.forced(py)?;
        let names = self.owner.get().look(|k| k.attr_names(*v))?.ok_or_else(|| PyTypeError::new_err("not a set"))?;
        names.into_iter().map(|name| decode(py, name)).collect()
    }

    /// An attribute, not evaluated; a KeyError if there is none.
    fn attr(&self, py: Python<'_>, name: &Bound<'_, PyAny>) -> PyResult<Value> {
        let v = self.forced(py)?;
        let bytes = encode(name)?;
        let found = self.owner.get().look(|k| {
            let attrs = v.as_attrs().ok_or_else(|| PyTypeError::new_err("not a set"))?;
            Ok::<_, PyErr>(k.symbols.find(&bytes).and_then(|sym| k.attr_lazy(attrs, sym)))
        })??;
        found.map(|v| self.sibling(py, v)).ok_or_else(|| PyKeyError::new_err(name.clone().unbind()))
    }

    fn has(&self, py: Python<'_>, name: &Bound<'_, PyAny>) -> PyResult<bool> {
        let v = self.forced(py)?;
        let bytes = encode(name)?;
        self.owner.get().look(|k| v.as_attrs().is_some_and(|a| k.symbols.find(&bytes).is_some_and(|sym| a.find(sym).is_some())))
    }

    /// Elements of a list or attributes of a set.
    fn length(&self, py: Python<'_>) -> PyResult<usize> {
        let v = self.forced(py)?;
        match v.kind() {
            Kind::List(list) => Ok(list.len()),
            Kind::Attrs(attrs) => self.owner.get().look(|_| attrs.len()),
            _ => Err(PyTypeError::new_err("neither a list nor a set")),
        }
    }

    /// An element of a list, not evaluated.
    fn item(&self, py: Python<'_>, index: usize) -> PyResult<Value> {
        let v = self.forced(py)?;
        let list = v.as_list().ok_or_else(|| PyTypeError::new_err("not a list"))?;
        let slot = list.slots().get(index).ok_or_else(|| pyo3::exceptions::PyIndexError::new_err("list index out of range"))?;
        let val = self.owner.get().look(|_| slot.get())?;
        Ok(self.sibling(py, val))
    }

    /// Applies the value to arguments, one after the other.
    fn call(&self, py: Python<'_>, args: Vec<PyRef<'_, Value>>) -> PyResult<Value> {
        if args.iter().any(|a| !a.owner.is(&self.owner)) {
            return Err(PyTypeError::new_err("a value of another evaluator"));
        }
        let args: Vec<Val> = args.iter().map(|a| a.val).collect();
        let v = self.run(py, |k, f| k.call(f, &args, Pos::NONE))?;
        Ok(self.sibling(py, v))
    }

    /// The formal arguments of a function `{ a, b ? … }: …`: whether each has a default. None for any other value.
    fn formals<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let v = self.forced(py)?;
        let Some(code) = v.as_lambda().map(|f| f.code()) else { return Ok(None) };
        let Some(formals) = &code.formals else { return Ok(None) };
        let names: Vec<(&[u8], bool)> =
            self.owner.get().look(|k| formals.list.iter().map(|f| (k.symbols.name(f.sym), f.default.is_some())).collect())?;
        let dict = PyDict::new(py);
        for (name, has_default) in names {
            dict.set_item(decode(py, name)?, has_default)?;
        }
        Ok(Some(dict))
    }

    /// Whether a function of named arguments takes others too (`...`).
    fn has_ellipsis(&self, py: Python<'_>) -> PyResult<bool> {
        let v = self.forced(py)?;
        self.owner.get().look(|_| v.as_lambda().is_some_and(|f| f.code().formals.as_ref().is_some_and(|f| f.ellipsis)))
    }

    /// Name, arguments and documentation of a builtin; None for any other value.
    fn builtin_doc(&self, py: Python<'_>) -> PyResult<Option<(&'static str, Vec<&'static str>, &'static str)>> {
        let v = self.forced(py)?;
        self.owner.get().look(|k| k.builtin_doc(*v))
    }

    /// Where the value, if a function, or its attribute `name` stands: file, line, column.
    #[pyo3(signature = (name = None))]
    fn position<'py>(&self, py: Python<'py>, name: Option<&Bound<'_, PyAny>>) -> PyResult<Option<(Bound<'py, PyString>, u32, u32)>> {
        let v = self.forced(py)?;
        let name = name.map(encode).transpose()?;
        let place = self.owner.get().look(|k| {
            let pos = match (v.kind(), &name) {
                (Kind::Lambda(f), None) => f.code().pos,
                (Kind::Attrs(attrs), Some(name)) => {
                    k.symbols.find(name).and_then(|sym: Sym| attrs.find(sym)).map_or(Pos::NONE, |(flat, i)| flat.shape().positions()[i as usize])
                }
                _ => Pos::NONE,
            };
            k.sources.place(pos)
        })?;
        match place {
            None => Ok(None),
            Some(place) => Ok(Some((decode(py, &crate::eval_errors::origin_name(&place.origin))?, place.line, place.column))),
        }
    }

    /// The value as text; nothing more is evaluated. `pretty` is for people, the other is `nix-instantiate --eval`'s; `lazy` says
    /// that the value was not evaluated throughout.
    #[pyo3(signature = (pretty = false, lazy = false))]
    fn print<'py>(&self, py: Python<'py>, pretty: bool, lazy: bool) -> PyResult<Bound<'py, PyBytes>> {
        let style = match (pretty, lazy) {
            (true, _) => PrintStyle::Pretty,
            (false, true) => PrintStyle::Lazy,
            (false, false) => PrintStyle::Plain,
        };
        let text = self.run(py, |k, v| k.print(v, style))?;
        Ok(PyBytes::new(py, &text))
    }

    /// The value as JSON; paths are copied to the store. Unless strict, what is inside is not evaluated, and what was not is an error.
    #[pyo3(signature = (*, strict = true))]
    fn to_json<'py>(&self, py: Python<'py>, strict: bool) -> PyResult<Bound<'py, PyBytes>> {
        let text = self.run(py, |k, v| k.to_json(v, strict))?;
        Ok(PyBytes::new(py, &text))
    }

    /// The value as XML.
    #[pyo3(signature = (*, strict, places))]
    fn to_xml<'py>(&self, py: Python<'py>, strict: bool, places: bool) -> PyResult<Bound<'py, PyBytes>> {
        let text = self.run(py, |k, v| {
            let mut context = StrBuf::new(k);
            k.to_xml(v, strict, places, &mut context)
        })?;
        Ok(PyBytes::new(py, &text))
    }

    /// The value and all that is in it as Python's own objects. A derivation becomes its output path; a function a `Value`, or
    /// what `wrap` makes of that.
    #[pyo3(signature = (wrap = None))]
    fn to_python(&self, py: Python<'_>, wrap: Option<&Bound<'_, PyAny>>) -> PyResult<Py<PyAny>> {
        self.run(py, |k, v| k.force_for_export(v))?;
        let v = self.forced(py)?;
        self.convert(py, *v, wrap, 0)
    }

    /// The same number for the same set, list or function of one evaluator.
    fn identity(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.forced(py)?.identity())
    }
}

impl Value {
    fn convert(&self, py: Python<'_>, v: Val, wrap: Option<&Bound<'_, PyAny>>, depth: usize) -> PyResult<Py<PyAny>> {
        if depth > 900 {
            return Err(crate::eval_errors::plain_eval_error(
                py,
                Code::StackOverflow,
                "the value is nested too deeply for Python (or contains itself)",
            ));
        }
        let v = match v.as_thunk() {
            Some(thunk) => self.owner.get().look(|_| thunk.value())?.unwrap_or(v),
            None => v,
        };
        if let Some(object) = scalar(py, v)? {
            return Ok(object);
        }
        match v.kind() {
            Kind::List(list) => {
                let out = PyList::empty(py);
                for slot in list.slots() {
                    out.append(self.convert(py, slot.get(), wrap, depth + 1)?)?;
                }
                Ok(out.into_any().unbind())
            }
            Kind::Attrs(_) => {
                if let Some(path) = self.owner.get().look(|k| k.exported_path(v))? {
                    return self.convert(py, path, wrap, depth + 1);
                }
                let items = self.owner.get().look(|k| k.attr_items(v))?.unwrap_or_default();
                let out = PyDict::new(py);
                for (name, item) in items {
                    out.set_item(decode(py, name)?, self.convert(py, item, wrap, depth + 1)?)?;
                }
                Ok(out.into_any().unbind())
            }
            _ => {
                let value = Py::new(py, self.sibling(py, v))?.into_any();
                wrap.map_or(Ok(value.clone_ref(py)), |wrap| Ok(wrap.call1((value,))?.unbind()))
            }
        }
    }
}

fn scalar(py: Python<'_>, v: Val) -> PyResult<Option<Py<PyAny>>> {
    Ok(Some(match v.kind() {
        Kind::Int(n) => n.into_pyobject(py)?.into_any().unbind(),
        Kind::Float(x) => x.into_pyobject(py)?.into_any().unbind(),
        Kind::Bool(b) => b.into_pyobject(py)?.to_owned().into_any().unbind(),
        Kind::Null => py.None(),
        Kind::String(s) | Kind::Path(s) => decode(py, s.bytes())?.into_any().unbind(),
        _ => return Ok(None),
    }))
}

/// Name, arguments and documentation of every builtin.
#[pyfunction]
fn builtin_docs() -> Vec<(&'static str, Vec<&'static str>, &'static str)> {
    nix_lang::builtins::tables().filter(|row| !nix_lang::builtins::is_hidden(row.name)).map(|row| (row.name, row.args.to_vec(), row.doc)).collect()
}

/// Has every large buffer (4 MiB and more) given back to the system as soon as it is freed, instead of letting the heap grow by it.
///
/// This is a setting of the whole process (mallopt's `M_MMAP_THRESHOLD`), so it is for commands to make, not for libraries.
#[pyfunction]
fn keep_heap_small() {
    const LARGE: libc::c_int = 4 << 20;
    // SAFETY: sets one number of the allocator's.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
    }
}

/// Every code that an error of the language can have.
#[pyfunction]
fn error_codes() -> Vec<&'static str> {
    Code::ALL.iter().map(|code| code.as_str()).collect()
}

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Evaluator>()?;
    module.add_class::<Value>()?;
    module.add_function(wrap_pyfunction!(builtin_docs, module)?)?;
    module.add_function(wrap_pyfunction!(error_codes, module)?)?;
    module.add_function(wrap_pyfunction!(keep_heap_small, module)?)?;
    module.add("NIX_VERSION", nix_lang::builtins::NIX_VERSION)
}
