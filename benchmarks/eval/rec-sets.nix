# Recursive sets in one another, whose attributes refer outwards, sideways and through `with` and `inherit`.
let
  range = builtins.genList (i: i);
  nest = depth: seed: rec {
    value = seed + 1;
    twice = value * 2;
    inherit (rec { low = twice - 1; high = low + depth; }) low high;
    names = rec {
      first = value;
      second = rec { inherit twice; third = first + twice; deep = rec { all = third + first + value; result = all + high; }; };
      inherit (second.deep) result;
    };
    inner = if depth == 0 then { total = names.result; } else nest (depth - 1) value;
    total = with names; inner.total + result + low;
  };
  fix = f: let self = f self; in self;
  packages = fix (self: builtins.listToAttrs (map (i: {
    name = "p${toString i}";
    value = rec { version = i; name = "p-${toString version}"; size = if i == 0 then 1 else self."p${toString (i - 1)}".version + version; };
  }) (range 100000)));
in
[
  (builtins.foldl' (sum: i: sum + (nest 10 i).total) 0 (range 20000))
  (nest 500 0).total
  (builtins.foldl' (sum: i: sum + packages."p${toString i}".size) 0 (range 100000))
]
