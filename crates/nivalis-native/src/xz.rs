//! Decompressing xz, for Python: as the standard library does it, by a newer liblzma than Debian 12's and 13's, which takes a fifth less.

use liblzma::stream::{Action, Status, Stream};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<XzDecompressor>()
}

/// One stream: what has been decompressed of it, and what has not been looked at yet.
#[pyclass(module = "nivalis._native")]
struct XzDecompressor {
    stream: Stream,
    input: Vec<u8>,
    #[pyo3(get)]
    eof: bool,
    #[pyo3(get)]
    needs_input: bool,
}

#[pymethods]
impl XzDecompressor {
    #[new]
    fn new(memory_limit: u64) -> PyResult<Self> {
        let stream = Stream::new_stream_decoder(memory_limit, 0).map_err(damaged)?;
        Ok(Self { stream, input: Vec::new(), eof: false, needs_input: true })
    }

    fn decompress<'py>(&mut self, py: Python<'py>, data: &[u8], max_length: usize) -> PyResult<Bound<'py, PyBytes>> {
        self.input.extend_from_slice(data);
        let found = py.detach(|| self.step(max_length)).map_err(damaged)?;
        Ok(PyBytes::new(py, &found))
    }
}

impl XzDecompressor {
    fn step(&mut self, max_length: usize) -> Result<Vec<u8>, liblzma::stream::Error> {
        let mut output = Vec::with_capacity(max_length);
        let mut used = 0;
        while !self.eof && output.len() < max_length {
            let before = (self.stream.total_in(), output.len());
            let status = self.stream.process_vec(&self.input[used..], &mut output, Action::Run)?;
            let read = self.stream.total_in() - before.0;
            used += read as usize;
            self.eof = status == Status::StreamEnd;
            if read == 0 && output.len() == before.1 {
                break;
            }
        }
        self.input.drain(..used);
        // With the output full there may be more of it, whatever has been read.
        self.needs_input = !self.eof && self.input.is_empty() && output.len() < max_length;
        Ok(output)
    }
}

fn damaged(error: liblzma::stream::Error) -> PyErr {
    PyValueError::new_err(error.to_string())
}
