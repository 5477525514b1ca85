//! `nivalis._native`: the kernel's face to Python.
//!
//! Purpose: the one crate that knows both Rust and Python. It hands the pure crates' functions over, releases the interpreter's
//! lock while they work, and turns their errors into the classes of `nivalis.errors` ([`errors`] holds the one table).
//!
//! Invariants: functions here are thin; what can be said without Python belongs into `nix-formats` or `nix-lang`. Nix's strings
//! are bytes: where Python gets `str`, bytes that are not UTF-8 become surrogates as in `os.fsdecode`, and back.
//!
//! What it does not do: it keeps no state, and it opens no file but those that it is handed by path or descriptor. The Python
//! face of it is `_native.pyi`, written by hand and checked against the built module.

mod debian;
mod elf;
mod errors;
mod eval_errors;
mod formats;
mod lang;
mod recording;
mod restricted;
mod world;
mod xz;

use pyo3::prelude::*;

#[pymodule]
mod _native {
    use pyo3::prelude::*;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        super::debian::register(module)?;
        super::elf::register(module)?;
        super::formats::register(module)?;
        super::lang::register(module)?;
        super::xz::register(module)
    }
}
