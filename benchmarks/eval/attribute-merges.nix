# `//` as nixpkgs and the module system use it: few attributes onto few, few onto many, and many sets into one.
let
  range = builtins.genList (i: i);
  name = i: "attribute-${toString i}";
  large = builtins.listToAttrs (map (i: { name = name i; value = i; }) (range 4000));
  small = i: { enable = true; package = i; settings = { port = i; } // { host = "localhost"; }; } // { enable = false; extra = i; };

  few = builtins.foldl' (sum: i: sum + (small i).settings.port + (small i).extra) 0 (range 400000);
  many = builtins.foldl' (set: i: set // { ${name i} = i + 1; other = set.other + 1; }) (large // { other = 0; }) (range 2000);
  chain = builtins.foldl' (set: i: set // { ${name i} = i; }) { } (range 2000);
  mapped = builtins.foldl' (set: i: builtins.mapAttrs (_: value: value) (builtins.removeAttrs set [ (name i) ])) large (range 200);
  inner = builtins.foldl' (sum: i: sum + builtins.length (builtins.attrNames (builtins.intersectAttrs chain large))) 0 (range 400);
in
[ few many.other many.attribute-1999 chain.attribute-1999 (builtins.length (builtins.attrNames mapped)) inner ]
