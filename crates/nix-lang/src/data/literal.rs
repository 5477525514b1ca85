//! Strings and names as they are written in a program.

/// A string literal, in quotes.
pub fn write_string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for (i, &c) in text.iter().enumerate() {
        match c {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', c]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            b'$' if text.get(i + 1) == Some(&b'{') => out.extend_from_slice(b"\\$"),
            c => out.push(c),
        }
    }
    out.push(b'"');
}

/// An attribute's name: bare if it can be, else as a string.
pub fn write_name(out: &mut Vec<u8>, name: &[u8]) {
    let keyword = matches!(name, b"if" | b"then" | b"else" | b"assert" | b"with" | b"let" | b"in" | b"rec" | b"inherit");
    let starts = name.first().is_some_and(|&c| c.is_ascii_alphabetic() || c == b'_');
    if starts && !keyword && name.iter().all(|&c| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-' | b'\'')) {
        out.extend_from_slice(name);
    } else {
        write_string(out, name);
    }
}
