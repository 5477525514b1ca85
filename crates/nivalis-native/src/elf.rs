//! The interpreter and the RUNPATH of ELF files, for Python.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::errors::{bytes, io_error, text, OrRaise};

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(read_elf, module)?)?;
    module.add_function(wrap_pyfunction!(edit_elf, module)?)
}

/// Machine, interpreter, soname, needed, runpath; see the stubs.
type Described<'py> = (u16, Option<Bound<'py, PyString>>, Option<Bound<'py, PyString>>, Vec<Bound<'py, PyString>>, Option<Bound<'py, PyString>>);

#[pyfunction]
fn read_elf(py: Python<'_>, path: PathBuf) -> PyResult<Option<Described<'_>>> {
    let found = py.detach(|| {
        let data = File::open(&path).and_then(|file| contents(&file)).map_err(|error| io_error(error, Some(&path)))?;
        elf_edit::read(&data).or_raise()
    })?;
    let Some(elf) = found else { return Ok(None) };
    let maybe = |bytes: Option<Vec<u8>>| bytes.map(|bytes| text(py, &bytes)).transpose();
    let needed = elf.needed.iter().map(|name| text(py, name)).collect::<PyResult<_>>()?;
    Ok(Some((elf.machine, maybe(elf.interpreter)?, maybe(elf.soname)?, needed, maybe(elf.runpath)?)))
}

#[pyfunction]
#[pyo3(signature = (path, *, interpreter = None, runpath = None))]
fn edit_elf(py: Python<'_>, path: PathBuf, interpreter: Option<Bound<'_, PyString>>, runpath: Option<Bound<'_, PyString>>) -> PyResult<bool> {
    let interpreter = interpreter.as_ref().map(bytes).transpose()?;
    let runpath = runpath.as_ref().map(bytes).transpose()?;
    py.detach(|| edit(&path, interpreter.as_deref(), runpath.as_deref()))
}

fn edit(path: &Path, interpreter: Option<&[u8]>, runpath: Option<&[u8]>) -> PyResult<bool> {
    let on_path = |error| io_error(error, Some(path));
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(on_path)?;
    let data = contents(&file).map_err(on_path)?;
    let writes = elf_edit::edit(&data, interpreter, runpath).or_raise()?;
    for write in &writes {
        file.write_all_at(&write.bytes, write.offset).map_err(on_path)?;
    }
    Ok(!writes.is_empty())
}

/// A whole file, but for one that the first bytes show to be no ELF file: of that only these.
fn contents(mut file: &File) -> io::Result<Vec<u8>> {
    let mut data = vec![0; 4];
    let read = file.read_at(&mut data, 0)?;
    data.truncate(read);
    if data == *b"\x7fELF" {
        data.clear();
        file.read_to_end(&mut data)?;
    }
    Ok(data)
}
