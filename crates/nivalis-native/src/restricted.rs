//! What a restricted evaluation may look at: the settings `restrict-eval` and `allowed-uris`.
//!
//! As in CppNix, that is what is below a place of the search path, what the evaluation itself brought into the store, and what is fetched
//! from an allowed address. The folders on the way to such a place may be seen too, but of them nothing else. Whoever asks has followed
//! the symlinks of a path, each step of which was asked for here.

use std::collections::BTreeSet;

pub(crate) struct Allowed {
    paths: BTreeSet<Vec<u8>>,
    uris: Vec<Vec<u8>>,
}

impl Allowed {
    pub(crate) fn new(paths: impl IntoIterator<Item = Vec<u8>>, uris: Vec<Vec<u8>>) -> Self {
        Allowed { paths: paths.into_iter().collect(), uris }
    }

    pub(crate) fn paths(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.paths.iter()
    }

    /// From now on a path, and what is below it, may be looked at.
    pub(crate) fn allow(&mut self, path: &[u8]) {
        self.paths.insert(path.to_vec());
    }

    /// Whether a path, with all that is below it, may be looked at.
    pub(crate) fn has(&self, path: &[u8]) -> bool {
        let mut above = path;
        loop {
            if self.paths.contains(above) {
                return true;
            }
            match above.iter().rposition(|&b| b == b'/') {
                Some(0) | None => return path.starts_with(b"/") && self.paths.contains(&b"/"[..]),
                Some(end) => above = &above[..end],
            }
        }
    }

    /// Whether a path is a folder on the way to something that may be looked at.
    pub(crate) fn leads_on(&self, path: &[u8]) -> bool {
        let mut inside = path.to_vec();
        if path != b"/" {
            inside.push(b'/');
        }
        self.paths.range(inside.clone()..).next().is_some_and(|next| next.starts_with(&inside))
    }

    /// Whether an address is an allowed one, or below one, or of a whole scheme (`https:`) that is allowed.
    pub(crate) fn has_uri(&self, uri: &[u8]) -> bool {
        self.uris.iter().any(|prefix| {
            uri == prefix.as_slice()
                || uri.strip_prefix(prefix.as_slice()).is_some_and(|rest| {
                    prefix.last().is_some_and(|&end| end == b'/' || (end == b':' && is_scheme(&prefix[..prefix.len() - 1])))
                        || rest.first() == Some(&b'/')
                }) && !prefix.is_empty()
        })
    }
}

fn is_scheme(text: &[u8]) -> bool {
    text.first().is_some_and(u8::is_ascii_alphabetic) && text.iter().all(|&b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
}
