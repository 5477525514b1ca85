//! The byte formats of `nix-formats`, for Python.
//!
//! Store paths are absolute text on this side, as in the database and in derivations; the store directory is always an argument.
//! Whatever reads files or hashes more than a few bytes does so with the interpreter's lock released, and looks for Ctrl-C.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufRead, Read, Write};
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix_formats::base32;
use nix_formats::derivation::{Derivation, Output};
use nix_formats::hash::{self, compress_hash, BackgroundHasher, Format, HashType};
use nix_formats::nar;
use nix_formats::narinfo;
use nix_formats::refscan;
use nix_formats::store_path::{self, ContentAddress, Method, StorePath};
use nix_formats::tree;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyDict, PyList, PyString};

use crate::errors::{bytes, io_error, nar_error, raise, text, OrRaise};

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Hash>()?;
    module.add_class::<NarInfo>()?;
    macro_rules! functions {
        ($($name:ident,)*) => { $(module.add_function(wrap_pyfunction!($name, module)?)?;)* };
    }
    functions! {
        base32_decode, base32_encode, check_store_path_name, copy_path, derivation_outputs, derivation_references, dump_nar, hash_bytes, hash_file,
        hash_nar, hash_nar_of_bytes, hash_placeholder, make_content_address, make_fixed_output_path, make_output_path, make_source_path, make_text_path,
        output_path_name, parse_content_address, parse_derivation, parse_store_path, remove_tree, restore_nar, restore_nar_prefix, scan_bytes, scan_path,
        split_store_path, unpack_nar, unparse_derivation, write_nar,
    }
    Ok(())
}

// ---- hashes -------------------------------------------------------------------------------------------------------------

/// A digest and the name of the function that made it.
#[pyclass(frozen, eq, hash, ord, module = "nivalis._native")]
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Hash(hash::Hash);

#[pymethods]
impl Hash {
    #[new]
    fn new(algo: &str, digest: &[u8]) -> PyResult<Hash> {
        let algo: HashType = algo.parse().or_raise()?;
        let wrong = || raise("HashError", format_args!("{algo} digest has {} bytes instead of {}", digest.len(), algo.size()));
        hash::Hash::new(algo, digest).map(Hash).ok_or_else(wrong)
    }

    #[staticmethod]
    #[pyo3(signature = (text, algo = None))]
    fn parse(text: &str, algo: Option<&str>) -> PyResult<Hash> {
        let algo = algo.map(str::parse).transpose().or_raise()?;
        hash::Hash::parse_any(text, algo).map(Hash).or_raise()
    }

    #[getter]
    fn algo(&self) -> &'static str {
        self.0.algo().name()
    }

    #[getter]
    fn digest<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.0.bytes())
    }

    /// The digits, without the type (but for `sri`).
    fn format(&self, format: &str) -> PyResult<String> {
        Ok(self.0.format(format.parse::<Format>().or_raise()?))
    }

    /// The type, a colon and the digits; SRI as it is.
    fn format_prefixed(&self, format: &str) -> PyResult<String> {
        Ok(self.0.format_prefixed(format.parse::<Format>().or_raise()?))
    }

    /// The digest folded to 20 bytes, as in store paths.
    fn compressed<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &compress_hash::<20>(self.0.bytes()))
    }

    fn __str__(&self) -> String {
        self.0.to_string()
    }

    fn __repr__(&self) -> String {
        format!("Hash.parse('{}')", self.0.format_prefixed(Format::Sri))
    }

    fn __getnewargs__<'py>(&self, py: Python<'py>) -> (&'static str, Bound<'py, PyBytes>) {
        (self.algo(), self.digest(py))
    }
}

/// Data worth the cost of letting the lock go.
const LONG: usize = 64 * 1024;

/// Calls `work` on the bytes of any contiguous buffer; in place where it is `bytes`, which nobody can change.
fn with_bytes<T: Send>(data: &Bound<'_, PyAny>, work: impl FnOnce(&[u8]) -> T + Send) -> PyResult<T> {
    let py = data.py();
    let run = |data: &[u8]| if data.len() < LONG { work(data) } else { py.detach(|| work(data)) };
    if let Ok(data) = data.cast::<PyBytes>() {
        return Ok(run(data.as_bytes()));
    }
    let copy = PyBuffer::<u8>::get(data)?.to_vec(py)?;
    Ok(run(&copy))
}

#[pyfunction]
fn hash_bytes(algo: &str, data: &Bound<'_, PyAny>) -> PyResult<Hash> {
    let algo = algo.parse().or_raise()?;
    with_bytes(data, |data| Hash(hash::Hash::of(algo, data)))
}

/// The hash of a file's bytes, and how many they are.
#[pyfunction]
fn hash_file(py: Python<'_>, algo: &str, path: PathBuf) -> PyResult<(Hash, u64)> {
    let algo = algo.parse().or_raise()?;
    py.detach(|| {
        let mut sink = Watched::new(BackgroundHasher::new(algo));
        let copied = File::open(&path).and_then(|mut file| copy_all(&mut file, &mut sink));
        copied.map_err(|error| io_error(error, Some(&path)))?;
        let size = sink.inner.len();
        Ok((Hash(sink.inner.finish()), size))
    })
}

fn copy_all(from: &mut impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => to.write_all(&buffer[..n])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[pyfunction]
fn base32_encode(data: &[u8]) -> String {
    base32::encode(data)
}

#[pyfunction]
fn base32_decode<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyBytes>> {
    Ok(PyBytes::new(py, &base32::decode(text.as_bytes()).or_raise()?))
}

// ---- store paths --------------------------------------------------------------------------------------------------------

fn store_paths(paths: &[String], store_dir: &str) -> PyResult<Vec<StorePath>> {
    paths.iter().map(|path| StorePath::parse(path.as_bytes(), store_dir)).collect::<Result<_, _>>().or_raise()
}

fn method(name: &str) -> PyResult<Method> {
    match name {
        "flat" => Ok(Method::Flat),
        "nar" => Ok(Method::Nar),
        "text" => Ok(Method::Text),
        _ => Err(PyValueError::new_err(format!("unknown method: `{name}` (known are flat, nar and text)"))),
    }
}

const fn method_name(method: Method) -> &'static str {
    match method {
        Method::Flat => "flat",
        Method::Nar => "nar",
        Method::Text => "text",
    }
}

#[pyfunction]
fn check_store_path_name(name: &str) -> PyResult<()> {
    store_path::check_name(name.as_bytes()).map(drop).or_raise()
}

/// The hash part and the name of an absolute store path.
#[pyfunction]
fn parse_store_path(path: &str, store_dir: &str) -> PyResult<(String, String)> {
    let path = StorePath::parse(path.as_bytes(), store_dir).or_raise()?;
    Ok((path.hash_part().to_owned(), path.name().to_owned()))
}

/// The store path that `path` is or is below of, and the rest: empty or beginning with a slash.
#[pyfunction]
fn split_store_path<'py>(py: Python<'py>, path: &Bound<'py, PyString>, store_dir: &str) -> PyResult<(String, Bound<'py, PyString>)> {
    let path = bytes(path)?;
    let (store_path, rest) = store_path::split_store_path(&path, store_dir).or_raise()?;
    Ok((store_path.to_absolute(store_dir), text(py, rest)?))
}

#[pyfunction]
fn make_text_path(name: &str, hash: &Hash, references: Vec<String>, store_dir: &str) -> PyResult<String> {
    let references = store_paths(&references, store_dir)?;
    Ok(store_path::make_text_path(name, &hash.0, &references, store_dir).or_raise()?.to_absolute(store_dir))
}

#[pyfunction]
#[pyo3(signature = (name, method, hash, references, store_dir, *, self_reference = false))]
fn make_fixed_output_path(name: &str, method: &str, hash: &Hash, references: Vec<String>, store_dir: &str, self_reference: bool) -> PyResult<String> {
    let references = store_paths(&references, store_dir)?;
    let method = self::method(method)?;
    let path = store_path::make_fixed_output_path(method, &hash.0, name, &references, self_reference, store_dir).or_raise()?;
    Ok(path.to_absolute(store_dir))
}

#[pyfunction]
fn make_source_path(name: &str, nar_hash: &Hash, store_dir: &str) -> PyResult<String> {
    Ok(store_path::make_source_path(name, &nar_hash.0, store_dir).or_raise()?.to_absolute(store_dir))
}

#[pyfunction]
fn make_output_path(output: &str, hash: &Hash, drv_name: &str, store_dir: &str) -> PyResult<String> {
    Ok(store_path::make_output_path(output, &hash.0, drv_name, store_dir).or_raise()?.to_absolute(store_dir))
}

#[pyfunction]
fn output_path_name(drv_name: &str, output: &str) -> String {
    store_path::output_path_name(drv_name, output)
}

#[pyfunction]
fn hash_placeholder(output: &Bound<'_, PyString>) -> PyResult<String> {
    Ok(store_path::hash_placeholder(&bytes(output)?))
}

#[pyfunction]
fn make_content_address(method: &str, hash: &Hash) -> PyResult<String> {
    Ok(ContentAddress { method: self::method(method)?, hash: hash.0 }.to_string())
}

#[pyfunction]
fn parse_content_address(text: &str) -> PyResult<(&'static str, Hash)> {
    let address: ContentAddress = text.parse().or_raise()?;
    Ok((method_name(address.method), Hash(address.hash)))
}

// ---- NAR ----------------------------------------------------------------------------------------------------------------

/// A writer or reader that looks for Ctrl-C a few times a second. Only Python's main thread ever sees one.
struct Watched<T> {
    inner: T,
    checked: Instant,
}

impl<T> Watched<T> {
    fn new(inner: T) -> Watched<T> {
        Watched { inner, checked: Instant::now() }
    }

    fn check(&mut self) -> io::Result<()> {
        if self.checked.elapsed() >= Duration::from_millis(50) {
            self.checked = Instant::now();
            Python::attach(|py| py.check_signals()).map_err(io::Error::other)?;
        }
        Ok(())
    }
}

impl<T: Write> Write for Watched<T> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.check()?;
        self.inner.write(data)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<T: Read> Read for Watched<T> {
    fn read(&mut self, data: &mut [u8]) -> io::Result<usize> {
        self.check()?;
        self.inner.read(data)
    }
}

/// An open file of Python's: a descriptor, or an object with `read` or `write`.
enum Stream {
    Descriptor(File),
    Bytes(io::Cursor<PyBackedBytes>),
    Object(Py<PyAny>),
}

impl Stream {
    fn new(file: &Bound<'_, PyAny>) -> PyResult<Stream> {
        if let Ok(data) = file.cast::<PyBytes>() {
            return Ok(Stream::Bytes(io::Cursor::new(data.clone().into())));
        }
        let Ok(descriptor) = file.extract::<i32>() else {
            return Ok(Stream::Object(file.clone().unbind()));
        };
        if descriptor < 0 {
            return Err(PyValueError::new_err("negative file descriptor"));
        }
        // SAFETY: the descriptor is borrowed for this one call, which makes a copy of it; a number that is not open is an error
        // of the system's.
        let borrowed = unsafe { BorrowedFd::borrow_raw(descriptor) };
        Ok(Stream::Descriptor(borrowed.try_clone_to_owned().map_err(|error| io_error(error, None))?.into()))
    }

    fn file(&self) -> Option<&File> {
        match self {
            Stream::Descriptor(file) => Some(file),
            Stream::Bytes(_) | Stream::Object(_) => None,
        }
    }
}

impl Write for Stream {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Descriptor(file) => file.write(data),
            Stream::Bytes(_) => Err(io::Error::other("bytes cannot be written to")),
            Stream::Object(object) => Python::attach(|py| {
                let written = object.bind(py).call_method1("write", (PyBytes::new(py, data),)).map_err(io::Error::other)?;
                // A raw stream may write less; a buffered one says all, and some say nothing.
                Ok(written.extract::<usize>().unwrap_or(data.len()).min(data.len()))
            }),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Stream {
    fn read(&mut self, data: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Descriptor(file) => file.read(data),
            Stream::Bytes(bytes) => bytes.read(data),
            Stream::Object(object) => Python::attach(|py| {
                let got = object.bind(py).call_method1("read", (data.len(),)).map_err(io::Error::other)?;
                let got = got.cast::<PyBytes>().map_err(|error| io::Error::other(PyErr::from(error)))?.as_bytes();
                let room = data.get_mut(..got.len()).ok_or_else(|| io::Error::other("read() gave more than was asked for"))?;
                room.copy_from_slice(got);
                Ok(got.len())
            }),
        }
    }
}

/// An error of dumping: the kernel's, or one that a filter raised.
enum DumpError {
    Nar(nar::Error),
    Python(PyErr),
}

impl From<nar::Error> for DumpError {
    fn from(error: nar::Error) -> DumpError {
        DumpError::Nar(error)
    }
}

impl From<DumpError> for PyErr {
    fn from(error: DumpError) -> PyErr {
        match error {
            DumpError::Nar(error) => nar_error(error),
            DumpError::Python(error) => error,
        }
    }
}

/// A filter that asks Python's, `filter(path, type)`, where there is one.
fn asking(filter: Option<&Py<PyAny>>) -> impl FnMut(&Path, nar::FileType) -> Result<bool, DumpError> + use<'_> {
    move |path, kind| {
        let Some(filter) = filter else { return Ok(true) };
        let asked = Python::attach(|py| filter.bind(py).call1((path.as_os_str(), kind.name()))?.is_truthy());
        asked.map_err(DumpError::Python)
    }
}

/// Dumps `path` into `out`; `filter` says what of the things below it belongs in.
fn dump<W: Write>(path: &Path, out: W, filter: Option<&Py<PyAny>>) -> Result<W, DumpError> {
    nar::dump_path(path, out, &mut asking(filter))
}

/// Writes to two places.
struct Tee<A, B>(A, B);

impl<A: Write, B: Write> Write for Tee<A, B> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0.write_all(data)?;
        self.1.write_all(data)?;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()?;
        self.1.flush()
    }
}

/// The hash and the size of the NAR of `path`.
#[pyfunction]
#[pyo3(signature = (path, algo = "sha256", *, filter = None))]
fn hash_nar(py: Python<'_>, path: PathBuf, algo: &str, filter: Option<Py<PyAny>>) -> PyResult<(Hash, u64)> {
    let algo: HashType = algo.parse().or_raise()?;
    py.detach(|| {
        let hasher = dump(&path, Watched::new(BackgroundHasher::new(algo)), filter.as_ref())?.inner;
        let size = hasher.len();
        Ok((Hash(hasher.finish()), size))
    })
}

/// The hash and the size of the NAR of a regular file with these bytes.
#[pyfunction]
#[pyo3(signature = (data, algo = "sha256", *, executable = false))]
fn hash_nar_of_bytes(data: &Bound<'_, PyAny>, algo: &str, executable: bool) -> PyResult<(Hash, u64)> {
    let algo = algo.parse().or_raise()?;
    with_bytes(data, move |data| {
        let (hash, size) = nar::hash_regular(data, executable, algo);
        (Hash(hash), size)
    })
}

/// Writes the NAR of `path` to a descriptor, or to an object with `write`; gives the hash and the size of it.
#[pyfunction]
#[pyo3(signature = (path, file, *, filter = None))]
fn dump_nar(py: Python<'_>, path: PathBuf, file: &Bound<'_, PyAny>, filter: Option<Py<PyAny>>) -> PyResult<(Hash, u64)> {
    let stream = Stream::new(file)?;
    py.detach(|| {
        let sink = Watched::new(Tee(BackgroundHasher::new(HashType::Sha256), stream));
        let hasher = dump(&path, sink, filter.as_ref())?.inner.0;
        let size = hasher.len();
        Ok((Hash(hasher.finish()), size))
    })
}

/// Reads bytes for another reader and hashes them on the way.
struct Hashed<R>(R, BackgroundHasher);

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, data: &mut [u8]) -> io::Result<usize> {
        let n = self.0.read(data)?;
        self.1.update(&data[..n]);
        Ok(n)
    }
}

const STORED: nar::RestoreOptions = nar::RestoreOptions { read_only_directories: true, canonical_times: true, writable: false };

/// Makes the files of the NAR that a descriptor, or an object with `read`, gives up to its end, or that `bytes` are; gives its hash and size.
///
/// With `canonical`, directories are read-only and times are one second after the epoch, as in a store.
#[pyfunction]
#[pyo3(signature = (file, target, *, canonical = false))]
fn restore_nar(py: Python<'_>, file: &Bound<'_, PyAny>, target: PathBuf, canonical: bool) -> PyResult<(Hash, u64)> {
    let stream = Stream::new(file)?;
    let options = if canonical { STORED } else { nar::RestoreOptions::default() };
    py.detach(|| {
        let mut source = Watched::new(Hashed(stream, BackgroundHasher::new(HashType::Sha256)));
        let size = nar::restore(&mut source, &target, options).map_err(nar_error)?;
        Ok((Hash(source.inner.1.finish()), size))
    })
}

/// The file behind a stream that is read, once its buffer is used up.
fn file_read(reader: &mut io::BufReader<Watched<Stream>>) -> io::Result<Option<&File>> {
    if !reader.buffer().is_empty() {
        return Ok(None);
    }
    let watched = reader.get_mut();
    watched.check()?;
    Ok(watched.inner.file())
}

/// The file behind a stream that is written; no pipe, whose reader would see what becomes of the pages meanwhile.
fn file_written(watched: &mut Watched<Stream>) -> io::Result<Option<&File>> {
    watched.check()?;
    let Some(file) = watched.inner.file() else { return Ok(None) };
    Ok(file.metadata()?.is_file().then_some(file))
}

/// Makes a user's own files, as writable as the umask lets them be, of the one NAR in a stream; gives its size. Nothing is hashed.
#[pyfunction]
fn unpack_nar(py: Python<'_>, file: &Bound<'_, PyAny>, target: PathBuf) -> PyResult<u64> {
    let stream = Stream::new(file)?;
    let options = nar::RestoreOptions { writable: true, ..Default::default() };
    py.detach(|| nar::restore_from_file(Watched::new(stream), file_read, &target, options).map_err(nar_error))
}

/// Writes the NAR of `path` to a stream. Nothing is hashed.
#[pyfunction]
fn write_nar(py: Python<'_>, path: PathBuf, file: &Bound<'_, PyAny>) -> PyResult<()> {
    let stream = Stream::new(file)?;
    py.detach(|| Ok(nar::dump_to_file(&path, Watched::new(stream), file_written, &mut asking(None)).map(drop)?))
}

/// A buffered reader that hashes what is consumed.
struct HashedBuffer<R>(io::BufReader<R>, BackgroundHasher);

impl<R: Read> Read for HashedBuffer<R> {
    fn read(&mut self, data: &mut [u8]) -> io::Result<usize> {
        let n = self.0.read(data)?;
        self.1.update(&data[..n]);
        Ok(n)
    }
}

impl<R: Read> BufRead for HashedBuffer<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.0.fill_buf()
    }

    fn consume(&mut self, n: usize) {
        self.1.update(&self.0.buffer()[..n]);
        self.0.consume(n);
    }
}

/// Makes the files of the NAR that a stream begins with, as in a store; gives its hash and size, and what was read beyond it.
#[pyfunction]
fn restore_nar_prefix<'py>(py: Python<'py>, file: &Bound<'py, PyAny>, target: PathBuf) -> PyResult<(Hash, u64, Bound<'py, PyBytes>)> {
    let stream = Stream::new(file)?;
    let (hash, size, rest) = py.detach(|| {
        let buffer = io::BufReader::with_capacity(128 * 1024, Watched::new(stream));
        let mut source = HashedBuffer(buffer, BackgroundHasher::new(HashType::Sha256));
        let size = nar::restore_prefix(&mut source, &target, STORED).map_err(nar_error)?;
        let rest = source.0.buffer().to_vec();
        Ok::<_, PyErr>((Hash(source.1.finish()), size, rest))
    })?;
    Ok((hash, size, PyBytes::new(py, &rest)))
}

/// Copies `path` to `target`, with a store's modes and times; gives the hash and size of its NAR, which is of the bytes that arrived.
#[pyfunction]
#[pyo3(signature = (path, target, *, filter = None))]
fn copy_path(py: Python<'_>, path: PathBuf, target: PathBuf, filter: Option<Py<PyAny>>) -> PyResult<(Hash, u64)> {
    py.detach(|| {
        let sink = Watched::new(BackgroundHasher::new(HashType::Sha256));
        let hasher = nar::copy_path(&path, &target, STORED, sink, &mut asking(filter.as_ref()))?.inner;
        let size = hasher.len();
        Ok((Hash(hasher.finish()), size))
    })
}

/// Removes whatever is at `path`, read-only folders too; gives the bytes of the files that had at most one other link.
#[pyfunction]
fn remove_tree(py: Python<'_>, path: PathBuf) -> PyResult<u64> {
    py.detach(|| {
        let mut watched = Watched::new(());
        tree::remove(&path, || watched.check()).map_err(|failure| io_error(failure.error, Some(&failure.path)))
    })
}

// ---- references ---------------------------------------------------------------------------------------------------------

fn found_of(scanner: &refscan::RefScanner, candidates: Vec<String>, paths: &[StorePath]) -> Vec<String> {
    candidates.into_iter().zip(paths).filter(|(_, path)| scanner.has_found(path)).map(|(text, _)| text).collect()
}

/// Which of the store paths `candidates` occur in the NAR of `path`, and the NAR's hash and size.
#[pyfunction]
fn scan_path(py: Python<'_>, path: PathBuf, candidates: Vec<String>, store_dir: &str) -> PyResult<(Vec<String>, Hash, u64)> {
    let paths = store_paths(&candidates, store_dir)?;
    py.detach(|| {
        let sink = Watched::new(Tee(BackgroundHasher::new(HashType::Sha256), refscan::RefScanner::new(&paths)));
        let Tee(hasher, scanner) = dump(&path, sink, None)?.inner;
        let size = hasher.len();
        Ok((found_of(&scanner, candidates, &paths), Hash(hasher.finish()), size))
    })
}

/// Which of the store paths `candidates` occur in `data`.
#[pyfunction]
fn scan_bytes(data: &Bound<'_, PyAny>, candidates: Vec<String>, store_dir: &str) -> PyResult<Vec<String>> {
    let paths = store_paths(&candidates, store_dir)?;
    with_bytes(data, move |data| {
        let mut scanner = refscan::RefScanner::new(&paths);
        scanner.update(data);
        found_of(&scanner, candidates, &paths)
    })
}

// ---- derivations --------------------------------------------------------------------------------------------------------

/// The parts of a derivation in the order of the file; see `DerivationParts` in the stubs.
type Parts<'py> =
    (Bound<'py, PyDict>, Bound<'py, PyDict>, Vec<String>, Bound<'py, PyString>, Bound<'py, PyString>, Bound<'py, PyList>, Bound<'py, PyDict>);

#[pyfunction]
fn parse_derivation<'py>(py: Python<'py>, data: &[u8], store_dir: &str) -> PyResult<Parts<'py>> {
    let drv = Derivation::parse(data, store_dir).or_raise()?;
    let outputs = PyDict::new(py);
    for (name, output) in &drv.outputs {
        let path = output.path.as_ref().map(|path| path.to_absolute(store_dir));
        outputs.set_item(&**name, (path, &output.hash_algo, &output.hash))?;
    }
    let inputs = PyDict::new(py);
    for (path, names) in &drv.input_drvs {
        inputs.set_item(path.to_absolute(store_dir), names.iter().map(|name| &**name).collect::<Vec<&str>>())?;
    }
    let args = PyList::empty(py);
    for arg in &drv.args {
        args.append(text(py, arg)?)?;
    }
    let env = PyDict::new(py);
    for (name, value) in &drv.env {
        env.set_item(text(py, name)?, text(py, value)?)?;
    }
    let sources = drv.input_srcs.iter().map(|path| path.to_absolute(store_dir)).collect();
    Ok((outputs, inputs, sources, text(py, &drv.platform)?, text(py, &drv.builder)?, args, env))
}

#[pyfunction]
#[pyo3(signature = (outputs, input_drvs, input_srcs, platform, builder, args, env, store_dir))]
#[allow(clippy::too_many_arguments)] // one for each field of the file
fn unparse_derivation<'py>(
    py: Python<'py>,
    outputs: BTreeMap<String, (Option<String>, String, String)>,
    input_drvs: BTreeMap<String, Vec<String>>,
    input_srcs: Vec<String>,
    platform: &Bound<'py, PyString>,
    builder: &Bound<'py, PyString>,
    args: Vec<Bound<'py, PyString>>,
    env: &Bound<'py, PyDict>,
    store_dir: &str,
) -> PyResult<Bound<'py, PyBytes>> {
    let path = |text: &str| StorePath::parse(text.as_bytes(), store_dir).or_raise();
    let mut drv = Derivation { platform: bytes(platform)?, builder: bytes(builder)?, ..Derivation::default() };
    for (name, (at, hash_algo, hash)) in outputs {
        drv.outputs.insert(name.into(), Output { path: at.as_deref().map(path).transpose()?, hash_algo, hash });
    }
    for (drv_path, names) in input_drvs {
        let names: BTreeSet<Arc<str>> = names.into_iter().map(Arc::from).collect();
        drv.input_drvs.insert(path(&drv_path)?, names);
    }
    drv.input_srcs = input_srcs.iter().map(|source| path(source)).collect::<PyResult<_>>()?;
    drv.args = args.iter().map(bytes).collect::<PyResult<_>>()?;
    for (name, value) in env {
        drv.env.insert(bytes(name.cast::<PyString>()?)?, bytes(value.cast::<PyString>()?)?);
    }
    Ok(PyBytes::new(py, &drv.unparse(store_dir)))
}

/// The outputs of the bytes of a `.drv` file: names and paths, those without a path left out.
#[pyfunction]
fn derivation_outputs(data: &[u8], store_dir: &str) -> PyResult<Vec<(String, String)>> {
    let drv = Derivation::parse(data, store_dir).or_raise()?;
    let known = |(name, output): (&Arc<str>, &Output)| Some((name.to_string(), output.path.as_ref()?.to_absolute(store_dir)));
    Ok(drv.outputs.iter().filter_map(known).collect())
}

/// What the store object of a `.drv` file refers to: its input derivations and sources, sorted.
#[pyfunction]
fn derivation_references(data: &[u8], store_dir: &str) -> PyResult<Vec<String>> {
    let drv = Derivation::parse(data, store_dir).or_raise()?;
    let all: BTreeSet<&StorePath> = drv.input_drvs.keys().chain(&drv.input_srcs).collect();
    Ok(all.into_iter().map(|path| path.to_absolute(store_dir)).collect())
}

// ---- narinfo ------------------------------------------------------------------------------------------------------------

/// What a binary cache says of one store path. Paths are absolute.
#[pyclass(frozen, eq, module = "nivalis._native")]
#[derive(PartialEq, Eq)]
struct NarInfo {
    info: narinfo::NarInfo,
    store_dir: String,
}

impl NarInfo {
    fn absolute(&self, path: &StorePath) -> String {
        path.to_absolute(&self.store_dir)
    }
}

#[pymethods]
impl NarInfo {
    #[new]
    #[pyo3(signature = (*, store_path, url, compression, nar_hash, nar_size, references, store_dir, file_hash = None, file_size = None, deriver = None, signatures = Vec::new(), ca = None))]
    #[allow(clippy::too_many_arguments)] // one for each field of the file
    fn new(
        store_path: &str,
        url: String,
        compression: String,
        nar_hash: &Hash,
        nar_size: u64,
        references: Vec<String>,
        store_dir: String,
        file_hash: Option<&Bound<'_, Hash>>,
        file_size: Option<u64>,
        deriver: Option<&str>,
        signatures: Vec<String>,
        ca: Option<&str>,
    ) -> PyResult<NarInfo> {
        let path = |text: &str| StorePath::parse(text.as_bytes(), &store_dir).or_raise();
        let info = narinfo::NarInfo {
            store_path: path(store_path)?,
            url,
            compression,
            file_hash: file_hash.map(|hash| hash.get().0),
            file_size,
            nar_hash: nar_hash.0,
            nar_size,
            references: references.iter().map(|text| path(text)).collect::<PyResult<_>>()?,
            deriver: deriver.map(path).transpose()?,
            signatures: signatures.into_iter().collect(),
            ca: ca.map(str::parse).transpose().or_raise()?,
        };
        Ok(NarInfo { info, store_dir })
    }

    #[staticmethod]
    fn parse(data: &[u8], store_dir: String) -> PyResult<NarInfo> {
        Ok(NarInfo { info: narinfo::NarInfo::parse(data, &store_dir).or_raise()?, store_dir })
    }

    /// The text of the file.
    fn print(&self) -> String {
        self.info.print(&self.store_dir)
    }

    /// The text that a signature is over.
    #[getter]
    fn fingerprint(&self) -> String {
        self.info.fingerprint(&self.store_dir)
    }

    #[getter]
    fn store_path(&self) -> String {
        self.absolute(&self.info.store_path)
    }

    #[getter]
    fn url(&self) -> &str {
        &self.info.url
    }

    #[getter]
    fn compression(&self) -> &str {
        &self.info.compression
    }

    #[getter]
    fn file_hash(&self) -> Option<Hash> {
        self.info.file_hash.map(Hash)
    }

    #[getter]
    fn file_size(&self) -> Option<u64> {
        self.info.file_size
    }

    #[getter]
    fn nar_hash(&self) -> Hash {
        Hash(self.info.nar_hash)
    }

    #[getter]
    fn nar_size(&self) -> u64 {
        self.info.nar_size
    }

    #[getter]
    fn references(&self) -> Vec<String> {
        self.info.references.iter().map(|path| self.absolute(path)).collect()
    }

    #[getter]
    fn deriver(&self) -> Option<String> {
        self.info.deriver.as_ref().map(|path| self.absolute(path))
    }

    #[getter]
    fn signatures(&self) -> Vec<&str> {
        self.info.signatures.iter().map(String::as_str).collect()
    }

    #[getter]
    fn ca(&self) -> Option<String> {
        self.info.ca.map(|ca| ca.to_string())
    }

    #[getter]
    fn store_dir(&self) -> &str {
        &self.store_dir
    }

    fn __repr__(&self) -> String {
        format!("<NarInfo of {}>", self.info.store_path)
    }
}
