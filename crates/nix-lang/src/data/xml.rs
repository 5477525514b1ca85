//! The one piece of XML that `toXML` needs beside fixed text: quoting attribute values.

/// Appends `value` as it stands between the double quotes of an attribute.
///
/// Newlines are escaped because an XML reader would turn them into spaces. Other control bytes
/// and invalid UTF-8 go through as they are, as in CppNix.
pub fn write_attribute(out: &mut Vec<u8>, value: &[u8]) {
    for &byte in value {
        match byte {
            b'"' => out.extend_from_slice(b"&quot;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'&' => out.extend_from_slice(b"&amp;"),
            b'\n' => out.extend_from_slice(b"&#xA;"),
            _ => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn escapes_what_cppnix_escapes() {
        let mut out = Vec::new();
        super::write_attribute(&mut out, b"a\"<>&'\n\t\xff");
        assert_eq!(out, b"a&quot;&lt;&gt;&amp;'&#xA;\t\xff");
    }
}
