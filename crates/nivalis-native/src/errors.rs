//! The one table from the kernel's errors to the classes of `nivalis.errors`.
//!
//! A class names its own code; the message is the error's `Display`. Errors of the operating system become Python's `OSError`
//! with their number, so that `FileNotFoundError` and its like are what a Python program expects.

use std::io;
use std::path::Path;

use nix_formats::{base32, derivation, hash, nar, narinfo, store_path};
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyType};

/// Makes an exception of the class `class` of `nivalis.errors`.
pub fn raise(class: &'static str, message: impl std::fmt::Display) -> PyErr {
    let message = message.to_string();
    Python::attach(|py| {
        let made = || -> PyResult<PyErr> {
            let class = py.import("nivalis.errors")?.getattr(class)?.cast_into::<PyType>()?;
            Ok(PyErr::from_value(class.call1((message.as_str(),))?))
        };
        made().unwrap_or_else(|error| error)
    })
}

/// A kernel error that has a class in Python.
pub trait Raise: std::fmt::Display {
    const CLASS: &'static str;
}

macro_rules! table {
    ($($error:ty => $class:literal,)*) => {
        $(impl Raise for $error {
            const CLASS: &'static str = $class;
        })*
    };
}

table! {
    base32::Error => "Base32Error",
    hash::Error => "HashError",
    store_path::Error => "StorePathError",
    derivation::ParseError => "DerivationError",
    derivation::HashError => "DerivationError",
    narinfo::Error => "NarInfoError",
    elf_edit::Error => "ElfError",
}

/// Turns a kernel's result into Python's.
pub trait OrRaise<T> {
    fn or_raise(self) -> PyResult<T>;
}

impl<T, E: Raise> OrRaise<T> for Result<T, E> {
    fn or_raise(self) -> PyResult<T> {
        self.map_err(|error| raise(E::CLASS, error))
    }
}

/// An operating system's error, on `path` where there is one. What Python raised below a Rust reader or writer comes out again.
pub fn io_error(error: io::Error, path: Option<&Path>) -> PyErr {
    let Some(number) = error.raw_os_error() else {
        return match error.downcast::<PyErr>() {
            Ok(raised) => raised,
            Err(error) => PyOSError::new_err(match path {
                Some(path) => format!("{error}: {}", path.display()),
                None => error.to_string(),
            }),
        };
    };
    Python::attach(|py| {
        let made = || -> PyResult<PyErr> {
            let text = py.import("os")?.getattr("strerror")?.call1((number,))?;
            // Called, the class chooses its subclass by the number.
            let class = py.get_type::<PyOSError>();
            Ok(PyErr::from_value(match path {
                Some(path) => class.call1((number, text, path.as_os_str()))?,
                None => class.call1((number, text))?,
            }))
        };
        made().unwrap_or_else(|error| error)
    })
}

/// An error of the NAR functions: of the archive, of a file, or of what Python put in.
pub fn nar_error(error: nar::Error) -> PyErr {
    match error {
        nar::Error::File { path, source, .. } => io_error(source, Some(&path)),
        nar::Error::Read(source) | nar::Error::Write(source) => io_error(source, None),
        nar::Error::UnsupportedFile(_) | nar::Error::FileChanged(_) => raise("StoreContentError", error),
        other => raise("NarError", other),
    }
}

/// Bytes as a Python string, those that are not UTF-8 as surrogates.
pub fn text<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyString>> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(PyString::new(py, text)),
        Err(_) => PyString::from_encoded_object(&PyBytes::new(py, bytes), Some(c"utf-8"), Some(c"surrogateescape")),
    }
}

/// A Python string as bytes, surrogates as the bytes that they stand for.
pub fn bytes(text: &Bound<'_, PyString>) -> PyResult<Vec<u8>> {
    if let Ok(text) = text.to_str() {
        return Ok(text.as_bytes().to_vec());
    }
    text.call_method1("encode", ("utf-8", "surrogateescape"))?.extract()
}
