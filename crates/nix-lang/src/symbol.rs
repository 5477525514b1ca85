//! Interned names.
//!
//! Attribute and variable names are compared far more often than they are read, so each distinct name becomes one `Sym`.
//! Symbols are numbered in order of first use: their order says nothing of the alphabet. One table belongs to one evaluator.

use crate::arena::Arena;
use std::hash::{BuildHasherDefault, Hasher};

/// The number of an interned name. Zero is the empty name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct Sym(pub u32);

/// FxHash (Firefox's multiply-and-rotate hash): names are short and come from the user's own files.
#[derive(Default, Clone, Copy)]
pub struct FxHasher(u64);

const FX: u64 = 0x517c_c1b7_2722_0a95;

impl FxHasher {
    #[inline]
    fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(FX);
    }
}

impl Hasher for FxHasher {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        // The last word overlaps the one before, so that no byte is read alone.
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let half = |at: usize| u64::from(u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()));
        match bytes.len() {
            0 => {}
            len @ 1..=3 => self.add(u64::from(bytes[0]) | u64::from(bytes[len / 2]) << 8 | u64::from(bytes[len - 1]) << 16),
            len @ 4..=7 => self.add(half(0) | half(len - 4) << 32),
            len => {
                let mut at = 0;
                while at + 8 < len {
                    self.add(word(at));
                    at += 8;
                }
                self.add(word(len - 8));
            }
        }
    }
    #[inline]
    fn write_u32(&mut self, n: u32) {
        self.add(u64::from(n));
    }
    #[inline]
    fn write_u64(&mut self, n: u64) {
        self.add(n);
    }
    #[inline]
    fn write_usize(&mut self, n: usize) {
        self.add(n as u64);
    }
    #[inline]
    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 29)
    }
}

pub type FxBuild = BuildHasherDefault<FxHasher>;
pub type FxMap<K, V> = std::collections::HashMap<K, V, FxBuild>;
pub type FxSet<K> = std::collections::HashSet<K, FxBuild>;

/// The table of names. The bytes live in the evaluator's arena.
pub struct Symbols<'a> {
    arena: &'a Arena,
    names: Vec<&'a [u8]>,
    index: FxMap<&'a [u8], Sym>,
}

impl<'a> Symbols<'a> {
    pub fn new(arena: &'a Arena) -> Self {
        let mut table = Symbols { arena, names: Vec::with_capacity(1024), index: FxMap::default() };
        table.intern(b"");
        table
    }

    #[inline]
    pub fn intern(&mut self, name: &[u8]) -> Sym {
        if let Some(&sym) = self.index.get(name) {
            return sym;
        }
        let kept: &'a [u8] = self.arena.alloc_slice_copy(name);
        let sym = Sym(self.names.len() as u32);
        self.names.push(kept);
        self.index.insert(kept, sym);
        sym
    }

    /// The symbol of a name that was interned before, or none.
    #[inline]
    pub fn find(&self, name: &[u8]) -> Option<Sym> {
        self.index.get(name).copied()
    }

    #[inline]
    pub fn name(&self, sym: Sym) -> &'a [u8] {
        self.names[sym.0 as usize]
    }

    pub fn len(&self) -> usize {
        self.names.len()
    }

    pub fn is_empty(&self) -> bool {
        false
    }
}
