//! The paragraphs of an index of binary packages, as far as their fields matter to anybody here.

use memchr::memchr;

macro_rules! fields {
    ($($variant:ident = $name:literal,)*) => {
        /// A field that is kept.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Field {
            $($variant,)*
        }

        impl Field {
            pub const ALL: [Field; [$($name),*].len()] = [$(Field::$variant),*];

            /// As the index calls it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Field::$variant => $name,)*
                }
            }

            fn find(name: &[u8]) -> Option<Field> {
                $(if name == $name.as_bytes() {
                    return Some(Field::$variant);
                })*
                None
            }
        }
    };
}

fields! {
    Package = "Package",
    Source = "Source",
    Version = "Version",
    InstalledSize = "Installed-Size",
    Architecture = "Architecture",
    Provides = "Provides",
    PreDepends = "Pre-Depends",
    Depends = "Depends",
    Description = "Description",
    MultiArch = "Multi-Arch",
    Homepage = "Homepage",
    Section = "Section",
    Priority = "Priority",
    Essential = "Essential",
    Filename = "Filename",
    Size = "Size",
    Sha256 = "SHA256",
}

/// One package: its fields, as they stand in the text. A continued value has its line ends and the blanks after them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stanza<'a>([Option<&'a [u8]>; Field::ALL.len()]);

impl<'a> Stanza<'a> {
    pub fn get(&self, field: Field) -> Option<&'a [u8]> {
        self.0[field as usize]
    }

    /// The fields that are there, in the order of [`Field::ALL`].
    pub fn fields(&self) -> impl Iterator<Item = (Field, &'a [u8])> + '_ {
        Field::ALL.into_iter().filter_map(|field| self.get(field).map(|value| (field, value)))
    }

    /// Whether the fields that every package has are there and are as they can be: they become names of files and of store paths.
    pub fn is_sound(&self) -> bool {
        let is = |field, is_wanted: fn(&[u8]) -> bool| self.get(field).is_some_and(|value| !value.is_empty() && is_wanted(value));
        is(Field::Package, |name| name.iter().all(|byte| is_small(byte) || b"+.-".contains(byte)) && is_small(&name[0]))
            && is(Field::Version, |version| version.iter().all(|byte| byte.is_ascii_alphanumeric() || b".+~:-".contains(byte)))
            && is(Field::Architecture, |name| name.iter().all(|byte| is_small(byte) || *byte == b'-'))
            && is(Field::Filename, |path| path[0] != b'/' && !path.contains(&b'\n') && path.split(|byte| *byte == b'/').all(|part| part != b".."))
            && is(Field::Size, |size| size.iter().all(u8::is_ascii_digit))
            && is(Field::Sha256, |digest| digest.len() == 64 && digest.iter().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte)))
    }
}

fn is_small(byte: &u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

/// The paragraphs of a text that have any of the fields. Of a field that stands twice in one the last counts.
pub fn stanzas(text: &[u8]) -> impl Iterator<Item = Stanza<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || loop {
        if rest.is_empty() {
            return None;
        }
        let found = read_one(&mut rest);
        if found != Stanza::default() {
            return Some(found);
        }
    })
}

/// Reads up to the next empty line, or to the end.
fn read_one<'a>(rest: &mut &'a [u8]) -> Stanza<'a> {
    let text = *rest;
    let mut found = Stanza::default();
    // The field that a continued line belongs to, and where its value begins.
    let mut last: Option<(Field, usize)> = None;
    let mut start = 0;
    while start < text.len() {
        let end = memchr(b'\n', &text[start..]).map_or(text.len(), |length| start + length);
        let line = &text[start..end];
        match line.first() {
            None => break,
            Some(b' ' | b'\t') => {}
            Some(_) => {
                last = memchr(b':', line).and_then(|colon| {
                    let blanks = line[colon + 1..].iter().take_while(|byte| b" \t".contains(byte)).count();
                    Some((Field::find(&line[..colon])?, start + colon + 1 + blanks))
                });
            }
        }
        if let Some((field, value)) = last {
            found.0[field as usize] = Some(&text[value..end]);
        }
        start = end + 1;
    }
    *rest = &text[text.len().min(start + 1)..];
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields_continued_lines_and_what_is_passed_over() {
        let text = b"\n\nPackage: a\nTag: x,\n y\nDepends:\n b,\n\tc\nSize:  1\nSize: 2\n\n\nTag: x\n\n past\nPackage: b";
        let found: Vec<_> = stanzas(text).collect();
        assert_eq!(found.len(), 2);
        let fields: Vec<_> = found[0].fields().collect();
        assert_eq!(fields, [(Field::Package, &b"a"[..]), (Field::Depends, b"\n b,\n\tc"), (Field::Size, b"2")]);
        assert_eq!(found[1].get(Field::Package), Some(&b"b"[..]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(text in proptest::collection::vec(proptest::sample::select(b"Size: \t\nPackage".as_slice()), 0..60)) {
            for stanza in stanzas(&text) {
                prop_assert!(stanza.fields().count() > 0);
                stanza.is_sound();
            }
        }
    }
}
