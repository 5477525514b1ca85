//! The Nix language: lexer, parser, evaluator and pure builtins.
//!
//! The crate knows no file, no store, no network and no Python: every effect goes through the trait [`world::World`].

pub mod arena;
pub mod ast;
pub mod builtins;
pub mod data;
pub mod error;
pub mod eval;
mod lexer;
pub mod parser;
mod scope;
pub mod show;
pub mod source;
pub mod symbol;
pub mod value;
pub mod world;
