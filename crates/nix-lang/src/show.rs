//! Shows a tree as `nix-instantiate --parse` does.

use crate::ast::Expr;
use crate::symbol::Symbols;

/// The tree as text.
pub fn show(_expr: &Expr, _symbols: &Symbols) -> String {
    String::new()
}

/// Writes an attribute's name: bare if it can be, else as a string.
pub(crate) fn write_name(out: &mut String, name: &[u8]) {
    out.push_str(&String::from_utf8_lossy(name));
}
