//! Errors of the language as Python's `EvalError`, with file, line, column and the source line; those that are bugs as `InternalError`.

use crate::lang::{decode, Located};
use nix_lang::error::Code;
use nix_lang::eval::Evaluator as Kernel;
use nix_lang::source::{Origin, Pos, PRELUDE};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

/// A resolved place.
pub(crate) struct At {
    file: Vec<u8>,
    line: u32,
    column: u32,
    source: Option<Vec<u8>>,
}

/// A line that is longer is not shown.
const LONGEST_LINE: usize = 500;

impl At {
    /// Finds a position's place. The source line is read anew, outside of what evaluation looked at.
    pub(crate) fn find(kernel: &Kernel, pos: Pos) -> Option<At> {
        let place = kernel.sources.place(pos)?;
        let line = |text: &[u8]| {
            let line = text.split(|&b| b == b'\n').nth(place.line as usize - 1)?;
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            (line.len() <= LONGEST_LINE).then(|| line.to_vec())
        };
        let source = match &place.origin {
            Origin::File(file) => {
                std::fs::read(std::path::Path::new(std::ffi::OsStr::new(&*String::from_utf8_lossy(file)))).ok().and_then(|text| line(&text))
            }
            Origin::Stdin(text) | Origin::String(text) => line(text),
            Origin::Prelude => None,
        };
        Some(At { file: origin_name(&place.origin), line: place.line, column: place.column, source })
    }

    fn to_python<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let source = self.source.as_ref().map(|line| String::from_utf8_lossy(line).into_owned());
        py.import("nivalis.errors")?.getattr("Position")?.call1((decode(py, &self.file)?, self.line, self.column, source))
    }
}

/// How an origin is named in messages.
pub(crate) fn origin_name(origin: &Origin) -> Vec<u8> {
    match origin {
        Origin::File(file) => file.to_vec(),
        Origin::Stdin(_) => "«stdin»".into(),
        Origin::String(_) => "«string»".into(),
        Origin::Prelude => PRELUDE.into(),
    }
}

/// The exception for an error; what the world raised is its cause.
pub(crate) fn eval_error(py: Python<'_>, located: Located, cause: Option<PyErr>) -> PyErr {
    match build(py, &located, cause.as_ref()) {
        Ok(error) => {
            error.set_cause(py, cause);
            error
        }
        Err(failed) => failed,
    }
}

fn build(py: Python<'_>, located: &Located, cause: Option<&PyErr>) -> PyResult<PyErr> {
    let errors = py.import("nivalis.errors")?;
    let (position, frame) = (|at: &Option<At>| at.as_ref().map(|at| at.to_python(py)).transpose(), errors.getattr("Frame")?);
    let trace = PyList::empty(py);
    for (step, at) in located.error.trace.iter().zip(&located.trace) {
        trace.append(frame.call1((&step.text, position(at)?))?)?;
    }
    let place = position(&located.place)?;
    if located.error.code == Code::Internal {
        let keywords = PyDict::new(py);
        keywords.set_item("where", place.map(|place| place.str()).transpose()?)?;
        return Ok(PyErr::from_value(errors.getattr("InternalError")?.call((&located.error.message,), Some(&keywords))?));
    }
    let keywords = PyDict::new(py);
    // What the world raised has a code of its own, which says more than the kernel's word for all of them.
    let own = cause.filter(|_| located.error.code == Code::World).and_then(|raised| raised.value(py).getattr("code").ok()?.extract::<String>().ok());
    keywords.set_item("code", own.as_deref().unwrap_or(located.error.code.as_str()))?;
    keywords.set_item("position", place)?;
    keywords.set_item("trace", trace)?;
    keywords.set_item("omitted", located.error.omitted)?;
    keywords.set_item("hint", &located.error.hint)?;
    let made = errors.getattr("EvalError")?.call((&located.error.message,), Some(&keywords))?;
    Ok(PyErr::from_value(made))
}

/// An error of the language that has no place.
pub(crate) fn plain_eval_error(py: Python<'_>, code: Code, message: &str) -> PyErr {
    let error = nix_lang::error::Error::new(code, Pos::NONE, message);
    eval_error(py, Located { error, place: None, trace: Vec::new() }, None)
}
