//! A package's record in a snapshot: the JSON that `channel/` reads.

/// What a record says. Texts are as the index has them.
#[derive(Debug, Clone, Default)]
pub struct Record<'a> {
    /// Why the package cannot be had.
    pub broken: Option<&'a str>,
    pub depends: Vec<&'a str>,
    pub description: &'a str,
    pub essential: bool,
    pub filename: &'a str,
    /// Who are one store path with it.
    pub group: Option<Vec<&'a str>>,
    pub homepage: Option<&'a str>,
    pub installed_size: &'a str,
    pub name: &'a str,
    pub priority: &'a str,
    pub section: &'a str,
    pub sha256: &'a str,
    pub size: &'a str,
    /// The source package, if it has another name or version: `name (version)`.
    pub source: &'a str,
    pub version: &'a str,
}

impl Record<'_> {
    /// Appends `"name":{…}`, with the keys in order.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut source = self.source.split(|letter: char| letter.is_whitespace() || "()".contains(letter)).filter(|word| !word.is_empty());
        string(self.name, out);
        out.extend(b":{");
        if let Some(why) = self.broken {
            field("broken", why, out);
        }
        list("depends", &self.depends, out);
        field("description", self.description.split('\n').next().unwrap_or_default(), out);
        if self.essential {
            out.extend(b"\"essential\":true,");
        }
        field("filename", self.filename, out);
        if let Some(members) = &self.group {
            list("group", members, out);
        }
        if let Some(homepage) = self.homepage {
            field("homepage", homepage, out);
        }
        number("installedSize", self.installed_size, out);
        field("priority", self.priority, out);
        field("section", self.section, out);
        field("sha256", self.sha256, out);
        number("size", self.size, out);
        field("source", source.next().unwrap_or(self.name), out);
        field("sourceVersion", source.next().unwrap_or(self.version), out);
        field("version", self.version, out);
        out.pop();
        out.push(b'}');
    }
}

fn key(name: &str, out: &mut Vec<u8>) {
    string(name, out);
    out.push(b':');
}

fn field(name: &str, value: &str, out: &mut Vec<u8>) {
    key(name, out);
    string(value, out);
    out.push(b',');
}

/// What is no number is 0.
fn number(name: &str, digits: &str, out: &mut Vec<u8>) {
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    let significant = if is_number { digits.trim_start_matches('0') } else { "" };
    key(name, out);
    out.extend(if significant.is_empty() { "0" } else { significant }.bytes());
    out.push(b',');
}

fn list(name: &str, values: &[&str], out: &mut Vec<u8>) {
    key(name, out);
    out.push(b'[');
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        string(value, out);
    }
    out.extend(b"],");
}

fn string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', byte]),
            b'\n' => out.extend(b"\\n"),
            b'\r' => out.extend(b"\\r"),
            b'\t' => out.extend(b"\\t"),
            0..=0x1f => out.extend(format!("\\u{byte:04x}").bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_json_in_order() {
        let mut record =
            Record { name: "a", description: "a \"b\"\u{1}\u{e4}\nmore", size: "007", installed_size: "x", version: "2", ..Record::default() };
        let mut out = Vec::new();
        record.write(&mut out);
        let plain = concat!(
            r#""a":{"depends":[],"description":"a \"b\"\u0001ä","filename":"","installedSize":0,"priority":"","section":"","sha256":"","size":7,"#,
            r#""source":"a","sourceVersion":"2","version":"2"}"#
        );
        assert_eq!(String::from_utf8(out).unwrap(), plain);
        record.source = "b (1.0)";
        record.depends = vec!["c", "d"];
        record.group = Some(vec!["a", "e"]);
        (record.broken, record.homepage, record.essential) = (Some("so"), Some("h"), true);
        let mut out = Vec::new();
        record.write(&mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with(r#""a":{"broken":"so","depends":["c","d"],"description""#), "{text}");
        assert!(text.contains(r#","essential":true,"filename":"","group":["a","e"],"homepage":"h","installedSize""#), "{text}");
        assert!(text.ends_with(r#""source":"b","sourceVersion":"1.0","version":"2"}"#), "{text}");
    }
}
