use super::*;
use proptest::prelude::*;

const STORE: &str = "/nix/store";
const FILES: [&str; 3] = [
    include_str!("../../tests/data/an573i3k6x2sjlwsdmgllhwch18xq4mg.narinfo"),
    include_str!("../../tests/data/b1z0q2iv5688lglbwla5daiqh4s5ix7m.narinfo"),
    include_str!("../../tests/data/crxb3pjqffw7byh1apdpn47fx6s079mz.narinfo"),
];

fn parse(text: &str) -> Result<NarInfo, Error> {
    NarInfo::parse(text.as_bytes(), STORE)
}

#[test]
fn files_of_the_oracle() {
    for text in FILES {
        assert_eq!(parse(text).unwrap().print(STORE), text);
    }
}

#[test]
fn fingerprint_of_a_path_with_references() {
    assert_eq!(
        parse(FILES[1]).unwrap().fingerprint(STORE),
        "1;/nix/store/b1z0q2iv5688lglbwla5daiqh4s5ix7m-refs.txt;\
         sha256:0m3vn3kcjx3gxjpgqjxaarmd6wl5wz1555amxxy65wask8l2a5mc;176;\
         /nix/store/an573i3k6x2sjlwsdmgllhwch18xq4mg-plain.txt"
    );
}

#[test]
fn deriver_unknown_fields_and_defaults() {
    let deriver = "Deriver: 155g35z3p3vaz6z8znc2lf8xy427cdc3-x.drv\n";
    let text = FILES[2].replace("Compression: xz\n", "System: x86_64-linux\n").replace("Sig:", &format!("{deriver}Sig:"));
    let info = parse(&text).unwrap();
    assert_eq!(info.compression, "bzip2");
    assert!(info.print(STORE).contains(deriver));
    assert_eq!(parse(&text.replace(deriver, "Deriver: unknown-deriver\n")).unwrap().deriver, None);
}

#[test]
fn refusals() {
    let text = FILES[1];
    assert_eq!(parse(""), Err(Error::Missing("StorePath")));
    assert_eq!(parse(&text.replace("NarSize: 176", "NarSize: 0")), Err(Error::Missing("NarSize")));
    assert_eq!(parse(&text.replace("NarSize: 176", "NarSize: +176")), Err(Error::Number { line: 7, field: "NarSize" }));
    assert_eq!(parse(text.trim_end()), Err(Error::Line { line: 10 }));
    assert_eq!(parse(&text.replace("URL: nar", "URL:nar")), Err(Error::Line { line: 2 }));
    assert_eq!(parse(&format!("{text}URL: x\n")), Err(Error::Duplicate { line: 11, field: "URL" }));
    assert_eq!(parse(&format!("{text}Sig: x\n")), Err(Error::Signature { line: 11 }));
    assert!(matches!(parse(&text.replace("References: a", "References: ../a")), Err(Error::StorePath { line: 8, .. })));
    assert!(matches!(NarInfo::parse(b"\xff", STORE), Err(Error::Utf8)));
}

proptest! {
    #[test]
    fn mutated_files_never_panic(
        file in 0..FILES.len(),
        edits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>(), any::<bool>()), 1..6),
    ) {
        let mut text = FILES[file].as_bytes().to_vec();
        for (at, byte, cut) in edits {
            if text.is_empty() { break; }
            let at = at.index(text.len());
            if cut { text.remove(at); } else { text[at] = byte; }
        }
        if let Ok(info) = NarInfo::parse(&text, STORE) {
            prop_assert_eq!(parse(&info.print(STORE)), Ok(info));
        }
    }
}
