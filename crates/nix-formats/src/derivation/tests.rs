use std::collections::HashMap;

use super::*;
use proptest::prelude::*;

const STORE: &str = "/nix/store";

// In the order of dependence.
const FILES: [(&str, &[u8]); 4] = [
    ("155g35z3p3vaz6z8znc2lf8xy427cdc3-src.tar.gz.drv", include_bytes!("../../tests/data/155g35z3p3vaz6z8znc2lf8xy427cdc3-src.tar.gz.drv")),
    ("v6z8qnvszxyhlpf6hq15vqjavks91k88-tree.drv", include_bytes!("../../tests/data/v6z8qnvszxyhlpf6hq15vqjavks91k88-tree.drv")),
    ("3rs6y8xxyzz6da64x5sx9mdw27bid2qy-x-1.0.drv", include_bytes!("../../tests/data/3rs6y8xxyzz6da64x5sx9mdw27bid2qy-x-1.0.drv")),
    ("0kra0nw2571c0qkxpxxbx7bpwis722g7-y.drv", include_bytes!("../../tests/data/0kra0nw2571c0qkxpxxbx7bpwis722g7-y.drv")),
];

fn parse(text: &[u8]) -> Result<Derivation, ParseError> {
    Derivation::parse(text, STORE)
}

fn reason(text: &str) -> ParseReason {
    parse(text.as_bytes()).unwrap_err().reason
}

#[test]
fn files_of_the_oracle_are_computed_again() {
    let mut known: HashMap<StorePath, HashModulo> = HashMap::new();
    for (file, text) in FILES {
        let drv = parse(text).unwrap();
        assert_eq!(drv.unparse(STORE), text, "{file}");
        let path = StorePath::from_base_name(file.as_bytes()).unwrap();
        let name = path.name().strip_suffix(".drv").unwrap();
        assert_eq!(drv.store_path(name, text, STORE).unwrap(), path);

        let mut blank = drv.clone();
        for (output_name, output) in &mut blank.outputs {
            *output = match output.fixed_hash().unwrap() {
                Some((method, hash)) => Output::fixed(method, &hash, name, STORE).unwrap(),
                None => Output::default(),
            };
            blank.env.remove(output_name.as_bytes());
        }
        let hash = blank.fill_outputs::<HashError>(name, STORE, |input| Ok(known[input])).unwrap();
        assert_eq!(blank, drv, "{file}");
        assert_eq!(drv.hash_modulo::<HashError>(STORE, |input| Ok(known[input])), Ok(hash));
        assert_eq!(matches!(hash, HashModulo::Fixed(_)), drv.is_fixed_output());
        known.insert(path, hash);
    }
}

#[test]
fn equal_inputs_are_merged() {
    let path = |i| StorePath::from_hash(&[i; 20], "x.drv").unwrap();
    let outputs = |names: &[&str]| names.iter().map(|&name| Arc::from(name)).collect::<BTreeSet<OutputName>>();
    let mut drv = Derivation::default();
    drv.input_drvs.insert(path(1), outputs(&["out", "dev"]));
    drv.input_drvs.insert(path(2), outputs(&["lib"]));
    let inputs = drv.hash_inputs::<HashError>(|_| Ok(HashModulo::Regular([7; 32]))).unwrap();
    assert_eq!(inputs, HashedInputs::from([([7; 32], outputs(&["dev", "lib", "out"]))]));
    assert!(matches!(drv.hash_inputs::<HashError>(|_| Ok(HashModulo::Fixed([7; 32]))), Err(HashError::NoSuchOutput { .. })));
}

#[test]
fn derivations_without_a_hash() {
    let hash = |drv: &Derivation| drv.hash_modulo::<HashError>(STORE, |_| unreachable!());
    let mut drv = Derivation::default();
    assert_eq!(hash(&drv), Err(HashError::NoOutputs));
    drv.outputs.insert("out".into(), Output::default());
    assert_eq!(hash(&drv), Err(HashError::NoPath("out".into())));
    drv.outputs.insert("out".into(), Output { hash_algo: "r:sha256".into(), ..Output::default() });
    assert_eq!(hash(&drv), Err(HashError::Floating("out".into())));
    let fixed = Output::fixed(Method::Flat, &Hash::of(HashType::Sha256, b""), "x", STORE).unwrap();
    drv.outputs.insert("out".into(), fixed.clone());
    drv.outputs.insert("dev".into(), fixed);
    assert_eq!(hash(&drv), Err(HashError::FixedOutputs));
}

#[test]
fn bytes_that_are_not_utf8() {
    let text = b"Derive([],[],[],\"\",\"\",[\"\xff\\n\"],[(\"\xfe\",\"\\\"\")])";
    let drv = parse(text).unwrap();
    assert_eq!(drv.args, [b"\xff\n"]);
    assert_eq!(drv.env[b"\xfe".as_slice()], b"\"");
    assert_eq!(drv.unparse(STORE), text);
}

#[test]
fn refusals() {
    assert_eq!(parse(b""), Err(ParseError { offset: 0, reason: ParseReason::Expected("Derive(") }));
    assert_eq!(reason("DrvWithVersion(\"xp-dyn-drv\",[])"), ParseReason::Dynamic);
    assert_eq!(reason("Derive([],[],[],\"x"), ParseReason::OpenString);
    assert_eq!(reason("Derive([],[],[],\"x\\"), ParseReason::OpenString);
    assert_eq!(reason("Derive([,],[],[],\"\",\"\",[],[])"), ParseReason::Expected("("));
    assert_eq!(reason("Derive([],[],[],\"\",\"\",[],[]) "), ParseReason::Expected("end"));
    assert_eq!(reason("Derive([],[],[],\"\",\"\",[],[(\"a\",\"\"),(\"a\",\"\")])"), ParseReason::Duplicate("a".into()));
    assert_eq!(reason("Derive([(\"out\",\"\",\"\",\"00\")],[],[],\"\",\"\",[],[])"), ParseReason::Output);
    let path = "/nix/store/155g35z3p3vaz6z8znc2lf8xy427cdc3-x.drv";
    assert_eq!(reason(&format!("Derive([],[(\"{path}\",[])],[],\"\",\"\",[],[])")), ParseReason::NoOutputs);
    assert!(matches!(reason("Derive([],[],[\"/tmp/x\"],\"\",\"\",[],[])"), ParseReason::StorePath(_)));
}

proptest! {
    #[test]
    fn mutated_files_never_panic(
        file in 0..FILES.len(),
        edits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>(), 0u8..3), 1..6),
    ) {
        let mut text = FILES[file].1.to_vec();
        for (at, byte, kind) in edits {
            if text.is_empty() { break; }
            let at = at.index(text.len());
            match kind {
                0 => text[at] = byte,
                1 => text.truncate(at),
                _ => text.insert(at, b"\"\\,()[]"[usize::from(byte) % 7]),
            }
        }
        if let Ok(drv) = parse(&text) {
            let _ = drv.hash_modulo::<HashError>(STORE, |_| Ok(HashModulo::Regular([0; 32])));
            let _ = drv.unparse(STORE);
        }
    }

    #[test]
    fn round_trip(
        builder in proptest::collection::vec(any::<u8>(), 0..40),
        args in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..4),
        env in proptest::collection::btree_map(
            proptest::collection::vec(any::<u8>(), 0..8), proptest::collection::vec(any::<u8>(), 0..40), 0..6),
    ) {
        let drv = Derivation { builder, args, env, platform: b"x86_64-linux".to_vec(), ..Derivation::default() };
        prop_assert_eq!(parse(&drv.unparse(STORE)), Ok(drv));
    }
}
