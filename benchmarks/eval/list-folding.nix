# Lists: folding, mapping, filtering, joining, searching.
let
  range = builtins.genList (i: i);
  numbers = range 400000;
  sum = builtins.foldl' builtins.add 0;
  pairs = builtins.concatMap (i: [ i (i + 1) ]) numbers;
  even = builtins.filter (i: i / 2 * 2 == i) numbers;
  folded = builtins.foldl' (acc: i: builtins.seq acc.count { count = acc.count + 1; last = i; }) { count = 0; last = null; } numbers;
  grown = builtins.foldl' (list: i: list ++ [ i ]) [ ] (range 3000);
  found = builtins.foldl' (count: i: if builtins.elem i grown then count + 1 else count) 0 (range 2000);
  parts = builtins.partition (i: i > 1000) numbers;
  grouped = builtins.groupBy (i: toString (i - i / 100 * 100)) numbers;
in
[
  (sum numbers)
  (sum (map (i: i * 3) numbers))
  (sum pairs)
  (builtins.length even)
  folded.count
  (builtins.length grown)
  found
  (builtins.length parts.right)
  (builtins.length grouped."7")
  (builtins.all (i: i >= 0) numbers)
  (builtins.any (i: i < 0) numbers)
]
