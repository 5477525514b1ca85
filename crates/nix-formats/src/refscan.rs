//! Finding references: which of some hash parts of store paths occur in a stream of bytes.
//!
//! Purpose: what a built output refers to is found, as in CppNix, by looking for the 32 digits of each candidate's hash part
//! anywhere in the output's NAR. [`RefScanner`] takes the bytes in chunks of any size and misses nothing at their borders.
//!
//! How: a window of 32 bytes is read from its end. A byte that is no digit excludes every window that holds it, so most of the
//! input is never looked at; only windows of 32 digits are looked up.

use std::collections::{BTreeSet, HashSet};
use std::io;

use crate::base32;
use crate::store_path::{StorePath, HASH_LEN};

type HashPart = [u8; HASH_LEN];

/// Scans bytes for hash parts.
pub struct RefScanner {
    wanted: HashSet<HashPart>,
    found: BTreeSet<HashPart>,
    /// The end of what came before: up to 31 bytes.
    tail: Vec<u8>,
}

impl RefScanner {
    /// Looks for the hash parts of `candidates`.
    pub fn new<'p>(candidates: impl IntoIterator<Item = &'p StorePath>) -> RefScanner {
        let wanted = candidates.into_iter().filter_map(|path| HashPart::try_from(path.hash_part().as_bytes()).ok()).collect();
        RefScanner { wanted, found: BTreeSet::new(), tail: Vec::with_capacity(2 * HASH_LEN) }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, data: &[u8]) {
        // The windows that begin in the tail end within the first 31 bytes.
        let mut border = std::mem::take(&mut self.tail);
        border.extend_from_slice(&data[..data.len().min(HASH_LEN - 1)]);
        self.scan(&border);
        self.scan(data);
        if data.len() >= HASH_LEN - 1 {
            border.clear();
            border.extend_from_slice(&data[data.len() - (HASH_LEN - 1)..]);
        } else {
            let keep = border.len().min(HASH_LEN - 1);
            border.drain(..border.len() - keep);
        }
        self.tail = border;
    }

    fn scan(&mut self, data: &[u8]) {
        let mut start = 0;
        while let Some(window) = data.get(start..start + HASH_LEN) {
            if let Some(i) = window.iter().rposition(|&b| !base32::is_digit(b)) {
                start += i + 1;
                continue;
            }
            // Digits as far as they go: each window within them is a candidate.
            while let Some(window) = data.get(start..start + HASH_LEN) {
                if !base32::is_digit(window[HASH_LEN - 1]) {
                    start += HASH_LEN;
                    break;
                }
                if let Some(part) = window.first_chunk::<HASH_LEN>().filter(|part| self.wanted.contains(*part)) {
                    self.wanted.remove(part);
                    self.found.insert(*part);
                }
                start += 1;
            }
        }
    }

    /// The hash parts found so far, in order.
    pub fn found(&self) -> impl Iterator<Item = &str> {
        self.found.iter().filter_map(|part| std::str::from_utf8(part).ok())
    }

    /// Whether the hash part of `path` has been found.
    pub fn has_found(&self, path: &StorePath) -> bool {
        HashPart::try_from(path.hash_part().as_bytes()).is_ok_and(|part| self.found.contains(&part))
    }
}

impl io::Write for RefScanner {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.update(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path(i: u8) -> StorePath {
        StorePath::from_hash(&[i; 20], "x").unwrap()
    }

    #[test]
    fn finds_at_every_border() {
        let text = [b"e".as_slice(), path(7).hash_part().as_bytes(), b"-x/bin 0000"].concat();
        for cut in 0..text.len() {
            let mut scanner = RefScanner::new([&path(7), &path(8)]);
            scanner.update(&text[..cut]);
            scanner.update(&text[cut..]);
            assert_eq!(scanner.found().collect::<Vec<_>>(), [path(7).hash_part()], "cut at {cut}");
            assert!(scanner.has_found(&path(7)) && !scanner.has_found(&path(8)));
        }
    }

    proptest! {
        #[test]
        fn finds_what_a_plain_search_finds(
            pieces in proptest::collection::vec((0u8..6, 0usize..40, "[0-9a-z/ ]{0,40}"), 0..8),
            chunk in 1usize..80,
        ) {
            let mut text = Vec::new();
            for (i, cut, noise) in pieces {
                text.extend_from_slice(&path(i).hash_part().as_bytes()[..32 - cut.saturating_sub(31)]);
                text.extend_from_slice(noise.as_bytes());
            }
            let all: Vec<StorePath> = (0..6).map(path).collect();
            let mut scanner = RefScanner::new(&all);
            text.chunks(chunk).for_each(|c| scanner.update(c));
            for p in &all {
                let plain = memchr::memmem::find(&text, p.hash_part().as_bytes()).is_some();
                prop_assert_eq!(scanner.has_found(p), plain);
            }
        }
    }
}
