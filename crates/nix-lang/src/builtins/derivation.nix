# `derivation`: what `derivationStrict` computes, as one set for each output, every one with all the attributes it was made from.
attrs@{ outputs ? [ "out" ], ... }:
let
  strict = derivationStrict attrs;
  common = attrs // __listToAttrs named // {
    all = map (output: output.value) named;
    drvAttrs = attrs;
  };
  named = map (name: {
    inherit name;
    value = common // {
      outPath = __getAttr name strict;
      drvPath = strict.drvPath;
      type = "derivation";
      outputName = name;
    };
  }) outputs;
in
(__head named).value
