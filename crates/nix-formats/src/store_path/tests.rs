use super::*;
use proptest::prelude::*;

const STORE: &str = "/nix/store";
// The SHA-256 of the NAR of tests/data/tree.nar, and of the text "hello\n", whose file is `a` in that tree.
const TREE: &str = "sha256:19yqdnm971yq9aq6by2chs5q8kdzbgpi0z44hgg9l6827lir6532";

fn base(path: Result<StorePath, Error>) -> String {
    path.unwrap().base_name().to_owned()
}

fn of(algo: HashType, data: &[u8]) -> Hash {
    Hash::of(algo, data)
}

#[test]
fn paths_of_the_oracle() {
    // nix-store --add tree; nix-store --add-fixed [--recursive] <algo> <path>
    let tree = Hash::parse_prefixed(TREE).unwrap();
    assert_eq!(base(make_source_path("tree", &tree, STORE)), "crxb3pjqffw7byh1apdpn47fx6s079mz-tree");
    let nar = include_bytes!("../../tests/data/tree.nar");
    assert_eq!(of(HashType::Sha256, nar), tree);
    let fixed = |method, algo, data: &[u8], name| base(make_fixed_output_path(method, &of(algo, data), name, [], false, STORE));
    assert_eq!(fixed(Method::Nar, HashType::Sha1, nar, "tree"), "3ssxd98w6z7hrrsx7ml732s217jp6v91-tree");
    assert_eq!(fixed(Method::Flat, HashType::Sha256, b"hello\n", "a"), "dsnln8dzp7a38dkfhk9p6pldgsb5jpr5-a");
    assert_eq!(fixed(Method::Flat, HashType::Md5, b"hello\n", "a"), "b65n360zzwp7x2m9yvl661wijv4hm9g2-a");
    assert_eq!(fixed(Method::Flat, HashType::Sha512, b"hello\n", "a"), "s3fjnprwgnp5z6q1rf16jrgvr4iqsqva-a");
    assert_eq!(fixed(Method::Flat, HashType::Sha256, b"hello\n", "foo"), "w8r2kfwk48haw3v8l15jjjvwnhhavxc6-foo");
}

#[test]
fn text_paths_and_placeholders_of_the_oracle() {
    // builtins.toFile, builtins.placeholder
    let plain = make_text_path("plain.txt", &of(HashType::Sha256, b"hello\n"), [], STORE).unwrap();
    assert_eq!(plain.base_name(), "an573i3k6x2sjlwsdmgllhwch18xq4mg-plain.txt");
    let text = format!("see {}\n", plain.to_absolute(STORE));
    let refs = make_text_path("refs.txt", &of(HashType::Sha256, text.as_bytes()), [&plain, &plain], STORE);
    assert_eq!(base(refs), "b1z0q2iv5688lglbwla5daiqh4s5ix7m-refs.txt");
    assert_eq!(hash_placeholder(b"out"), "/1rz4g4znpzjwh1xymhjpm42vipw92pr73vdgl6xs1hycac8kf2n9");
    assert_eq!(hash_placeholder(b"dev"), "/02qcpld1y6xhs5gz9bchpxaw0xdhmsp5dv88lh25r2ss44kh8dxz");
}

#[test]
fn names() {
    for good in ["a", ".hidden", "...", "..a", ".a-b", "A+z_0?=.-", &"x".repeat(211)] {
        assert_eq!(check_name(good.as_bytes()), Ok(good));
    }
    assert_eq!(check_name(b""), Err(Error::EmptyName));
    assert!(matches!(check_name(&[b'x'; 212]), Err(Error::LongName(_))));
    for bad in [".", "..", ".-a", "..-a"] {
        assert!(matches!(check_name(bad.as_bytes()), Err(Error::DotName { .. })), "{bad}");
    }
    for bad in [b"a b".as_slice(), b"a/b", b"a\0", b"\xff", "é".as_bytes(), b"a\n"] {
        assert!(matches!(check_name(bad), Err(Error::Character { .. })));
    }
}

#[test]
fn reading_paths() {
    let text = b"/nix/store/crxb3pjqffw7byh1apdpn47fx6s079mz-tree/bin/x";
    let (path, rest) = split_store_path(text, STORE).unwrap();
    assert_eq!((path.hash_part(), path.name(), rest), ("crxb3pjqffw7byh1apdpn47fx6s079mz", "tree", b"/bin/x".as_slice()));
    assert_eq!(StorePath::parse(&text[..text.len() - 6], STORE), Ok(path.clone()));
    assert!(matches!(StorePath::parse(text, STORE), Err(Error::NotInStore { .. })));
    assert!(matches!(StorePath::parse(text, "/other"), Err(Error::NotInStore { .. })));
    assert!(matches!(StorePath::parse(b"/nix/store/x", STORE), Err(Error::Short(_))));
    assert!(matches!(StorePath::parse(b"/nix/storecrxb3pjqffw7byh1apdpn47fx6s079mz-t", STORE), Err(Error::NotInStore { .. })));
    assert!(matches!(StorePath::from_base_name(b"crxb3pjqffw7byh1apdpn47fx6s079me-tree"), Err(Error::HashPart(_))));
    assert!(matches!(StorePath::from_base_name(b"crxb3pjqffw7byh1apdpn47fx6s079mz_tree"), Err(Error::NoDash(_))));
    assert!(is_in_store(text, STORE) && !is_in_store(b"/nix/store", STORE) && !is_in_store(b"/nix/store/", STORE));
}

#[test]
fn references_only_where_allowed() {
    let hash = of(HashType::Sha1, b"");
    let path = StorePath::from_hash(&[0; 20], "x").unwrap();
    for method in [Method::Flat, Method::Nar] {
        assert!(matches!(make_fixed_output_path(method, &hash, "x", [&path], false, STORE), Err(Error::References(_))));
        assert!(matches!(make_fixed_output_path(method, &hash, "x", [], true, STORE), Err(Error::References(_))));
    }
    assert_eq!(make_text_path("x", &hash, [], STORE), Err(Error::TextHash(HashType::Sha1)));
}

#[test]
fn content_addresses() {
    let digits = "19yqdnm971yq9aq6by2chs5q8kdzbgpi0z44hgg9l6827lir6532";
    for kind in ["text", "fixed", "fixed:r"] {
        let text = format!("{kind}:sha256:{digits}");
        assert_eq!(text.parse::<ContentAddress>().unwrap().to_string(), text);
    }
    for bad in ["", "text", "fixed:sha256", "other:sha256:00", "text:sha1:143xibwh31h9bvxzalr0sjvbbvpa6ffs"] {
        assert!(bad.parse::<ContentAddress>().is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn reading_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..60), text in "[0-9a-z/-]{0,60}") {
        let _ = check_name(&bytes);
        for path in [bytes.as_slice(), text.as_bytes()] {
            if let Ok(path) = StorePath::from_base_name(path) {
                prop_assert_eq!(StorePath::parse(path.to_absolute(STORE).as_bytes(), STORE), Ok(path));
            }
            let _ = split_store_path(&[b"/nix/store/", path].concat(), STORE);
        }
        let _ = text.parse::<ContentAddress>();
    }
}
