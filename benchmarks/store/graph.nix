# 500 derivations that do next to nothing: twenty-five rows of twenty, each of which needs two of the row before.
let
  width = 20;
  nodes = builtins.genList node 499;
  make = name: inputs: derivation {
    inherit name;
    system = "x86_64-linux";
    builder = "/bin/sh";
    args = [ "-c" "echo ${toString inputs} > $out" ];
  };
  node = n:
    make "node-${toString n}" (if n < width then [ ] else map (builtins.elemAt nodes) [ (n - width) (n - width + 1) ]);
in
make "top" (builtins.genList (n: builtins.elemAt nodes (498 - n)) width)
