//! What takes long in a Debian archive's index of sixty thousand packages: reading it, ordering versions, finding circles, and writing
//! down what came of it.
//!
//! Purpose: [`stanzas`] reads the paragraphs of a `Packages` file (deb822(5)), [`compare`] orders versions as dpkg does
//! (deb-version(7)), [`groups`] finds who needs whom in a circle, and [`Record`] is what a snapshot says of a package.
//!
//! Invariants: indices may come from an enemy, so no input panics and nothing recurses; what is read points into the text and is
//! not copied. [`Stanza::is_sound`] is what stands between an index and names of files and of store paths.
//!
//! What it does not do: it decompresses and verifies nothing, and knows no relation between packages but that one needs another.

#![forbid(unsafe_code)]

mod graph;
mod record;
mod stanza;
mod version;

pub use graph::groups;
pub use record::Record;
pub use stanza::{stanzas, Field, Stanza};
pub use version::{compare, VersionError};
