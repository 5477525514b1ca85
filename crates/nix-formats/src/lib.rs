//! The byte formats of Nix, as pure functions.
//!
//! Purpose: one place that knows how hashes are written, how store paths are computed, what a NAR, a `.drv` file and a
//! narinfo look like, and how references are found in bytes. The evaluator, the store and the binary caches stand on it.
//!
//! Invariants: what is written is what CppNix writes, to the byte; what is read may come from an enemy, so no parser panics,
//! and none allocates by a size that it has only been told of.
//!
//! What it does not do: it knows no store, no database, no network and no Python. Only [`nar`] and [`tree`]
//! touch files, and only below a path that they are handed. The store directory is always a parameter, never an assumption.

#![forbid(unsafe_code)]

pub mod base32;
pub mod derivation;
pub mod hash;
pub mod nar;
pub mod narinfo;
pub mod refscan;
pub mod store_path;
pub mod tree;
