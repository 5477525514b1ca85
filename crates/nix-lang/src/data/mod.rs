//! Data formats and notations that the builtins need, and that know nothing of the evaluator.
//!
//! Everything here is a pure function over bytes: no values, no contexts, no effects. Each module
//! reproduces one piece of CppNix's behaviour to the byte; none of them panics or recurses without
//! a bound, whatever the input.

pub mod ere;
pub mod json;
pub mod literal;
pub mod number;
pub mod path;
pub mod toml;
pub mod version;
pub mod xml;
