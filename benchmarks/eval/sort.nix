# Sorting: numbers in no order, in order and backwards; strings; sets by one of their attributes.
let
  modulo = a: b: a - a / b * b;
  # A multiplicative generator: the same numbers everywhere, in no visible order.
  random = builtins.genList (i: modulo ((i + 1) * 48271 * 7919) 2147483647);
  less = a: b: a < b;
  head = list: builtins.head list;
  numbers = random 60000;
  ordered = builtins.genList (i: i) 60000;
  strings = map (i: "name-${toString i}") (random 20000);
  sets = map (i: { priority = modulo i 1000; name = toString i; }) (random 30000);
in
[
  (head (builtins.sort builtins.lessThan numbers))
  (head (builtins.sort less numbers))
  (head (builtins.sort less ordered))
  (head (builtins.sort (a: b: b < a) ordered))
  (head (builtins.sort less strings))
  (head (builtins.sort (a: b: a.priority < b.priority) sets)).name
  (head (builtins.attrNames (builtins.listToAttrs (map (name: { inherit name; value = 0; }) strings))))
]
