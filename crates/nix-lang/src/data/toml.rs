//! TOML 1.0 as a plain tree, for `fromTOML`.
//!
//! Reading is `toml_edit`'s; this module only turns its editable document into [`TomlValue`].
//! Nesting is bounded by that library (80 levels), so the conversion's recursion is too. Integers
//! beyond 64 bits are errors; CppNix 2.8 silently took the nearest one.

use std::fmt;

use toml_edit::{Array, ImDocument, InlineTable, Item, Table, Value};

/// A TOML value. Tables are in the order of their text, without equal keys.
#[derive(Clone, Debug, PartialEq)]
pub enum TomlValue {
    Table(Vec<(String, TomlValue)>),
    Array(Vec<TomlValue>),
    Boolean(bool),
    Integer(i64),
    Float(f64),
    /// Without NUL.
    String(String),
    /// A date, a time or both, in RFC 3339's form. CppNix refuses it with [`NO_DATES`] unless the
    /// experimental feature `parse-toml-timestamps` is on.
    Timestamp(String),
}

/// CppNix's message for a date or time.
pub const NO_DATES: &str = "Dates and times are not supported";

/// Why a text is not TOML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TomlError {
    /// In bytes from the start of the text, where known.
    pub offset: Option<usize>,
    pub message: String,
}

impl fmt::Display for TomlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.offset {
            Some(offset) => write!(f, "{} at offset {offset}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for TomlError {}

const MAX_DEPTH: usize = 200;

/// Reads a TOML document; the result is a [`TomlValue::Table`].
pub fn parse(text: &[u8]) -> Result<TomlValue, TomlError> {
    let text = std::str::from_utf8(text).map_err(|error| TomlError { offset: Some(error.valid_up_to()), message: "not UTF-8".to_owned() })?;
    let document = ImDocument::parse(text)
        .map_err(|error| TomlError { offset: error.span().map(|span| span.start), message: error.message().trim_end().replace('\n', "; ") })?;
    from_table(document.as_table(), MAX_DEPTH)
}

fn fail<T>(message: &str) -> Result<T, TomlError> {
    Err(TomlError { offset: None, message: message.to_owned() })
}

fn to_text(text: &str) -> Result<String, TomlError> {
    if text.contains('\0') {
        return fail("a string with a NUL character cannot be represented");
    }
    Ok(text.to_owned())
}

fn deeper(depth: usize) -> Result<usize, TomlError> {
    depth.checked_sub(1).map_or_else(|| fail("nested too deeply"), Ok)
}

fn from_table(table: &Table, depth: usize) -> Result<TomlValue, TomlError> {
    let depth = deeper(depth)?;
    let mut entries = Vec::with_capacity(table.len());
    for (key, item) in table {
        let value = match item {
            Item::None => continue,
            Item::Value(value) => from_value(value, depth)?,
            Item::Table(table) => from_table(table, depth)?,
            Item::ArrayOfTables(tables) => TomlValue::Array(tables.iter().map(|table| from_table(table, depth)).collect::<Result<_, _>>()?),
        };
        entries.push((to_text(key)?, value));
    }
    Ok(TomlValue::Table(entries))
}

fn from_inline(table: &InlineTable, depth: usize) -> Result<TomlValue, TomlError> {
    let depth = deeper(depth)?;
    let entries = table.iter().map(|(key, value)| Ok((to_text(key)?, from_value(value, depth)?)));
    Ok(TomlValue::Table(entries.collect::<Result<_, TomlError>>()?))
}

fn from_array(array: &Array, depth: usize) -> Result<TomlValue, TomlError> {
    let depth = deeper(depth)?;
    let items = array.iter().map(|value| from_value(value, depth));
    Ok(TomlValue::Array(items.collect::<Result<_, _>>()?))
}

fn from_value(value: &Value, depth: usize) -> Result<TomlValue, TomlError> {
    Ok(match value {
        Value::String(text) => TomlValue::String(to_text(text.value())?),
        Value::Integer(value) => TomlValue::Integer(*value.value()),
        Value::Float(value) => TomlValue::Float(*value.value()),
        Value::Boolean(value) => TomlValue::Boolean(*value.value()),
        Value::Datetime(value) => TomlValue::Timestamp(value.value().to_string()),
        Value::Array(array) => from_array(array, depth)?,
        Value::InlineTable(table) => from_inline(table, depth)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value as CppNix prints it.
    fn show(value: &TomlValue) -> String {
        match value {
            TomlValue::Table(entries) => {
                let mut parts: Vec<String> = entries.iter().map(|(key, value)| format!("{key} = {}; ", show(value))).collect();
                parts.sort();
                format!("{{ {}}}", parts.concat())
            }
            TomlValue::Array(items) => {
                let parts: Vec<String> = items.iter().map(|item| show(item) + " ").collect();
                format!("[ {}]", parts.concat())
            }
            TomlValue::Boolean(value) => value.to_string(),
            TomlValue::Integer(value) => value.to_string(),
            TomlValue::Float(value) => value.to_string(),
            TomlValue::String(value) => format!("{value:?}"),
            TomlValue::Timestamp(value) => format!("<{value}>"),
        }
    }

    #[test]
    fn reads() {
        for (text, expected) in [
            ("", "{ }"),
            ("x = [1, \"a\", 1.5, inf, true]", "{ x = [ 1 \"a\" 1.5 inf true ]; }"),
            ("a.b = 1\n[a.c]\nd = 2", "{ a = { b = 1; c = { d = 2; }; }; }"),
            (
                "[a]\nb=1\n[a.c]\nd=0x1F\n[[e]]\nf=1_000\n[[e]]\n[e.g]\nh=1e3",
                "{ a = { b = 1; c = { d = 31; }; }; e = [ { f = 1000; } { g = { h = 1000; }; } ]; }",
            ),
            ("x = 1979-05-27", "{ x = <1979-05-27>; }"),
            ("x = 1979-05-27 07:32:00Z", "{ x = <1979-05-27T07:32:00Z>; }"),
        ] {
            assert_eq!(parse(text.as_bytes()).map(|v| show(&v)).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn refuses() {
        for text in [
            "x = 1\nx = 2",
            "x = 9223372036854775808",
            "x = { a = 1, }",
            "x = { a = 1,\n b = 2 }",
            "x = \"\\u0041\\e\"",
            "x = \"\\u0000\"",
            "x = 01",
            "x",
            "[a]\n[a]",
        ] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(parse(b"x = \"\xff\"").is_err());
        let deep = format!("x = {}", "[".repeat(100_000));
        assert!(parse(deep.as_bytes()).is_err());
        let dotted = format!("{}x = 1", "a.".repeat(100_000));
        assert!(parse(dotted.as_bytes()).is_err());
    }
}
