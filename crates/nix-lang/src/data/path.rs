//! Lexical paths: canonical form, joining, base name and directory. No file system is looked at.
//!
//! The builtins treat strings and path values differently. A path value is canonical: it starts
//! with a slash, has no trailing one, and no empty, `.` or `..` component. A string is anything,
//! and its trailing slash matters: `baseNameOf "a/b/"` is `b`, `baseNameOf "a/b//"` is empty, and
//! `dirOf "a/b/"` is `a/b`.

/// The canonical form of the absolute path `path`; `..` at the root stays at the root.
///
/// A path without a leading slash is taken as one from the root.
pub fn canonicalise(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(path.len() + 1);
    append_components(&mut out, path);
    if out.is_empty() {
        out.push(b'/');
    }
    out
}

/// `path` seen from the canonical directory `base`: itself if absolute, else below `base`.
pub fn join(base: &[u8], path: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(base.len() + path.len() + 1);
    if path.first() != Some(&b'/') {
        append_components(&mut out, base);
    }
    append_components(&mut out, path);
    if out.is_empty() {
        out.push(b'/');
    }
    out
}

fn append_components(out: &mut Vec<u8>, path: &[u8]) {
    for component in path.split(|&byte| byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => out.truncate(out.iter().rposition(|&byte| byte == b'/').unwrap_or(0)),
            _ => {
                out.push(b'/');
                out.extend_from_slice(component);
            }
        }
    }
}

/// Whether `path` is what [`canonicalise`] would make of it.
pub fn is_canonical(path: &[u8]) -> bool {
    path == b"/" || path.strip_prefix(b"/").is_some_and(|rest| rest.split(|&byte| byte == b'/').all(|part| !matches!(part, b"" | b"." | b"..")))
}

/// `builtins.baseNameOf`, of a string or of a path's text: one trailing slash is ignored.
pub fn base_name(path: &[u8]) -> &[u8] {
    let end = match path {
        [rest @ .., b'/'] if !rest.is_empty() => rest,
        _ => path,
    };
    match end.iter().rposition(|&byte| byte == b'/') {
        Some(slash) => &end[slash + 1..],
        None => end,
    }
}

/// `builtins.dirOf` of a string: what stands before the last slash, and before others right before that.
pub fn dir_of_string(path: &[u8]) -> &[u8] {
    let Some(slash) = path.iter().rposition(|&byte| byte == b'/') else { return b"." };
    match path[..slash].iter().rposition(|&byte| byte != b'/') {
        None => b"/",
        Some(end) => &path[..=end],
    }
}

/// `builtins.dirOf` of a canonical path; the root is its own directory.
pub fn dir_of_path(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|&byte| byte == b'/') {
        None | Some(0) => b"/",
        Some(slash) => &path[..slash],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_form() {
        for (path, expected) in [
            ("/", "/"),
            ("//", "/"),
            ("/a//b/./c/", "/a/b/c"),
            ("/a/../..", "/"),
            ("/a/b/../c", "/a/c"),
            ("/...", "/..."),
            ("/.a/..b", "/.a/..b"),
            ("/../a", "/a"),
        ] {
            assert_eq!(canonicalise(path.as_bytes()), expected.as_bytes(), "{path}");
            assert_eq!(is_canonical(path.as_bytes()), path == expected, "{path}");
        }
        assert_eq!(join(b"/a/b", b"../c"), b"/a/c");
        assert_eq!(join(b"/a/b", b"/c/."), b"/c");
        assert_eq!(join(b"/", b""), b"/");
        assert_eq!(join(b"/a", b"../../.."), b"/");
    }

    #[test]
    fn base_names() {
        for (path, expected) in [("a/b/", "b"), ("a/b//", ""), ("/", ""), ("//", ""), ("", ""), ("a", "a"), ("/a", "a"), ("a/", "a")] {
            assert_eq!(base_name(path.as_bytes()), expected.as_bytes(), "{path}");
        }
    }

    #[test]
    fn directories() {
        for (path, expected) in [("a", "."), ("a/b/", "a/b"), ("/a", "/"), ("a//b", "a"), ("//a", "/"), ("/", "/"), ("", ".")] {
            assert_eq!(dir_of_string(path.as_bytes()), expected.as_bytes(), "{path}");
        }
        assert_eq!(dir_of_path(b"/"), b"/");
        assert_eq!(dir_of_path(b"/a"), b"/");
        assert_eq!(dir_of_path(b"/a/b"), b"/a");
    }
}
