//! xz, for Python: as the standard library does it, by a newer liblzma than Debian 12's and 13's, which takes a fifth less.
//!
//! Compressing gives the bytes that liblzma gives for its preset 6, which is what CppNix uses, and for a few kilobytes in a quarter of the time.
//! That preset has a dictionary of 8 MiB, whose tables (96 MiB) cost more than what they are for: each page that is touched is a page that the
//! system zeroes. With a smaller dictionary that still holds the whole input only one thing is another: the encoder finds earlier
//! occurrences through trees, one for each value of a hash of four bytes, and a small dictionary has fewer bits of that hash, so
//! trees of the large one grow together. Each is ordered by content and by age, so whoever looks for something in a tree that has grown
//! together meets the same candidates, in the same order, and some that it passes over. That matters where a search gives up after
//! `DEPTH` steps, and nowhere else. So the hashes are counted first (`has_same_trees`), and an input for which it could matter, which is
//! rare below 16 KiB, is compressed with the large dictionary.

use liblzma::stream::{Action, Check, Error, Filters, LzmaOptions, Status, Stream};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<XzDecompressor>()?;
    module.add_function(wrap_pyfunction!(compress_xz, module)?)
}

const PRESET: u32 = 6;
/// Steps after which a search for earlier occurrences ends, in that preset.
const DEPTH: u8 = 48;
/// Bits of its hash of four bytes: half as many values as the dictionary has bytes.
const HASH_BITS: u32 = 22;
/// The dictionary for small inputs, and the bits of its hash.
const SMALL: usize = 1 << 19;
const SMALL_BITS: u32 = 18;
/// Where the header of the only block is in a stream, and that header for a dictionary of 8 MiB.
const BLOCK_HEADER: std::ops::Range<usize> = 12..24;
const LARGE_HEADER: [u8; 12] = [0x02, 0x00, 0x21, 0x01, 0x16, 0x00, 0x00, 0x00, 0x74, 0x2f, 0xe5, 0xa3];

/// What `xz -6` makes of `data`.
#[pyfunction]
fn compress_xz<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let packed = py.detach(|| compress(data)).map_err(damaged)?;
    Ok(PyBytes::new(py, &packed))
}

fn compress(data: &[u8]) -> Result<Vec<u8>, Error> {
    if data.is_empty() || data.len() > SMALL || !has_same_trees(data) {
        return run(Stream::new_easy_encoder(PRESET, Check::Crc64)?, data);
    }
    let mut filters = Filters::new();
    filters.lzma2(LzmaOptions::new_preset(PRESET)?.dict_size(SMALL as u32));
    let mut packed = run(Stream::new_stream_encoder(&filters, Check::Crc64)?, data)?;
    packed[BLOCK_HEADER].copy_from_slice(&LARGE_HEADER);
    Ok(packed)
}

fn run(mut encoder: Stream, data: &[u8]) -> Result<Vec<u8>, Error> {
    // The most that a stream of what cannot be compressed is longer.
    let mut packed = Vec::with_capacity(data.len() + data.len() / 1024 + 128);
    loop {
        let read = encoder.total_in() as usize;
        if encoder.process_vec(&data[read..], &mut packed, Action::Finish)? == Status::StreamEnd {
            return Ok(packed);
        }
        packed.reserve(1 << 16);
    }
}

/// Whether no search ends early in a tree of the small dictionary that is several of the large one: each such has few enough entries.
fn has_same_trees(data: &[u8]) -> bool {
    let mut counts = vec![0_u8; 1 << SMALL_BITS];
    // Which of the large dictionary's trees there are in each of the small one's, a bit for each.
    let mut trees = vec![0_u16; 1 << SMALL_BITS];
    data.windows(4).all(|bytes| {
        let hash = hash_4(bytes);
        let slot = (hash & ((1 << SMALL_BITS) - 1)) as usize;
        trees[slot] |= 1 << ((hash >> SMALL_BITS) & ((1 << (HASH_BITS - SMALL_BITS)) - 1));
        counts[slot] = counts[slot].saturating_add(1);
        counts[slot] <= DEPTH || trees[slot].is_power_of_two()
    })
}

/// liblzma's `hash_4_calc` (lz_encoder_hash.h), before it is cut to the bits that a dictionary has.
fn hash_4(bytes: &[u8]) -> u32 {
    CRC32[bytes[0] as usize] ^ u32::from(bytes[1]) ^ u32::from(bytes[2]) << 8 ^ CRC32[bytes[3] as usize] << 5
}

const CRC32: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut value = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { value >> 1 ^ 0xedb8_8320 } else { value >> 1 };
            bit += 1;
        }
        table[byte] = value;
        byte += 1;
    }
    table
};

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
    fn step(&mut self, max_length: usize) -> Result<Vec<u8>, Error> {
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

fn damaged(error: Error) -> PyErr {
    PyValueError::new_err(error.to_string())
}
