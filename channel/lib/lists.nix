/**
  Lists.  Positions count from 0, except in `imap1`.
*/
{ lib }:
let
  inherit (builtins) elem elemAt filter genList head length tail;
  inherit (lib.trivial) compare id min;

  orEmptyError = name: list: value:
    if list == [ ] then throw "lib.lists.${name}: the list is empty; check for `[ ]` first, or use `findFirst` with a default" else value;
in
rec {
  inherit (builtins) all any concatLists concatMap foldl' groupBy isList map partition sort;
  inherit elem elemAt filter genList head length tail;

  /** a -> [a]
      singleton 1 => [ 1 ] */
  singleton = x: [ x ];

  /** [a] -> (a -> b) -> [b]: `map`, the list first.
      forEach [ 1 2 ] (x: x + 1) => [ 2 3 ] */
  forEach = xs: f: map f xs;

  /** (a -> b -> b) -> b -> [a] -> b: from the right, lazily.
      foldr (x: rest: x + rest) "z" [ "a" "b" ] => "abz" */
  foldr = op: nul: list:
    let n = length list; from = i: if i == n then nul else op (elemAt list i) (from (i + 1)); in from 0;
  fold = foldr;

  /** (b -> a -> b) -> b -> [a] -> b: from the left, lazily; `foldl'` is the strict one, and faster.
      foldl (acc: x: acc + x) "z" [ "a" "b" ] => "zab" */
  foldl = op: nul: list:
    let upTo = i: if i < 0 then nul else op (upTo (i - 1)) (elemAt list i); in upTo (length list - 1);

  /** (int -> a -> b) -> [a] -> [b]: `map` with the position, from 0.
      imap0 (i: x: "${x}${toString i}") [ "a" "b" ] => [ "a0" "b1" ] */
  imap0 = f: list: genList (i: f i (elemAt list i)) (length list);

  /** (int -> a -> b) -> [a] -> [b]: `map` with the position, from 1.
      imap1 (i: x: "${x}${toString i}") [ "a" "b" ] => [ "a1" "b2" ] */
  imap1 = f: imap0 (i: f (i + 1));

  /** (int -> a -> bool) -> [a] -> [a]: `filter` with the position, from 0.
      ifilter0 (i: x: i == 0 || x > 2) [ 1 2 3 ] => [ 1 3 ] */
  ifilter0 = pred: list: map (elemAt list) (filter (i: pred i (elemAt list i)) (genList id (length list)));

  /** value -> [value]: one list of all that nested lists hold.
      flatten [ 1 [ 2 [ 3 ] ] ] => [ 1 2 3 ] */
  flatten = x: if isList x then concatMap flatten x else [ x ];

  /** a -> [a] -> [a]: without the elements equal to the first argument.
      remove 3 [ 1 3 4 3 ] => [ 1 4 ] */
  remove = x: filter (y: y != x);

  /** (a -> bool) -> b -> b -> [a] -> a or b: the only match; other values for none and for several.
      findSingle (x: x == 3) "none" "several" [ 1 3 ] => 3 */
  findSingle = pred: none: several: list:
    let found = filter pred list; n = length found; in
    if n == 0 then none else if n == 1 then head found else several;

  /** (a -> bool) -> b -> [a] -> int or b: the position of the first match; later elements are not looked at.
      findFirstIndex (x: x > 1) null [ 1 2 3 ] => 1 */
  findFirstIndex = pred: default: list:
    # A fold needs no stack, however long the list is.
    let found = foldl' (at: i: if at >= 0 then at else if pred (elemAt list i) then i else at) (-1) (genList id (length list)); in
    if found < 0 then default else found;

  /** (a -> bool) -> b -> [a] -> a or b: the first match; later elements are not looked at.
      findFirst (x: x > 1) 7 [ 1 2 3 ] => 2 */
  findFirst = pred: default: list:
    let i = findFirstIndex pred null list; in if i == null then default else elemAt list i;

  /** (a -> bool) -> [a] -> int
      count (x: x == 3) [ 3 2 3 ] => 2 */
  count = pred: foldl' (n: x: if pred x then n + 1 else n) 0;

  /** bool -> a -> [a]: one element, or none.
      optional true 1 => [ 1 ] */
  optional = cond: x: if cond then [ x ] else [ ];

  /** bool -> [a] -> [a]: the list, or an empty one.
      optionals false [ 1 ] => [ ] */
  optionals = cond: xs: if cond then xs else [ ];

  /** [a] or a -> [a]
      toList "a" => [ "a" ] */
  toList = x: if isList x then x else [ x ];

  /** int -> int -> [int]: from the first to the last, both included.
      range 2 4 => [ 2 3 4 ] */
  range = first: last: if first > last then [ ] else genList (i: first + i) (last - first + 1);

  /** int -> a -> [a]
      replicate 2 "a" => [ "a" "a" ] */
  replicate = n: x: genList (_: x) n;

  /** (b -> a -> b) -> b -> (a -> string) -> [a] -> { string = b; }: groups, each folded.
      groupBy' add 0 (x: if x > 1 then "big" else "small") [ 1 2 3 ] => { big = 5; small = 1; } */
  groupBy' = op: nul: pred: list: lib.mapAttrs (_: foldl op nul) (groupBy pred list);

  /** (a -> b -> c) -> [a] -> [b] -> [c]: as long as the shorter list.
      zipListsWith add [ 1 2 ] [ 3 ] => [ 4 ] */
  zipListsWith = f: xs: ys: genList (i: f (elemAt xs i) (elemAt ys i)) (min (length xs) (length ys));

  /** [a] -> [b] -> [ { fst = a; snd = b; } ]
      zipLists [ 1 ] [ "a" ] => [ { fst = 1; snd = "a"; } ] */
  zipLists = zipListsWith (fst: snd: { inherit fst snd; });

  /** [a] -> [a]
      reverseList [ 1 2 3 ] => [ 3 2 1 ] */
  reverseList = xs: let n = length xs; in genList (i: elemAt xs (n - 1 - i)) n;

  /** bool -> (a -> a -> bool) -> [a] -> { minimal, visited, rest } or { cycle, loops, visited, rest }
      Walks from the first element to what must stand before it (`before a b`), until nothing must.
      (listDfs true hasPrefix [ "/home/user" "other" "/" "/home" ]).minimal => "/" */
  listDfs = stopOnCycles: before: list:
    let
      walk = at: visited: rest:
        let
          loops = filter (x: before x at) visited;
          earlier = partition (x: before x at) rest;
        in
        if stopOnCycles && loops != [ ] then { cycle = at; inherit loops visited rest; }
        else if earlier.right == [ ] then { minimal = at; inherit visited rest; }
        else walk (head earlier.right) ([ at ] ++ visited) (tail earlier.right ++ earlier.wrong);
    in
    orEmptyError "listDfs" list (walk (head list) [ ] (tail list));

  /** (a -> a -> bool) -> [a] -> { result = [a]; } or { cycle = [a]; loops = [a]; }: sorted so that `before a b` holds.
      toposort hasPrefix [ "/home/user" "other" "/" "/home" ] => { result = [ "/" "/home" "/home/user" "other" ]; } */
  toposort = before: list:
    let
      first = listDfs true before list;
      others = toposort before (first.visited ++ first.rest);
    in
    if length list < 2 then { result = list; }
    else if first ? cycle then { cycle = reverseList ([ first.cycle ] ++ first.visited); inherit (first) loops; }
    else if others ? cycle then others
    else { result = [ first.minimal ] ++ others.result; };

  /** (a -> b) -> [a] -> [a]: sorted by what the function gives for each, which is computed once.
      sortOn stringLength [ "aa" "b" ] => [ "b" "aa" ] */
  sortOn = f: list:
    map (pair: elemAt pair 1) (sort (a: b: head a < head b) (map (x: [ (f x) x ]) list));

  /** (a -> a -> int) -> [a] -> [a] -> int: by the first difference; a shorter list comes first.
      compareLists compare [ 1 2 ] [ 1 3 ] => -1 */
  compareLists = cmp: a: b:
    let
      differs = findFirst (order: order != 0) null (zipListsWith cmp a b);
    in
    if differs == null then compare (length a) (length b) else differs;

  /** [string] -> [string]: numbers within the texts sort as numbers.
      naturalSort [ "disk11" "disk8" ] => [ "disk8" "disk11" ] */
  naturalSort = list:
    let
      parts = text: map (part: if isList part then lib.toInt (head part) else part) (builtins.split "(0|[1-9][0-9]*)" text);
    in
    map (pair: elemAt pair 1) (sort (a: b: compareLists compare (head a) (head b) < 0) (map (text: [ (parts text) text ]) list));

  /** int -> [a] -> [a]: the first n, or all.
      take 2 [ 1 2 3 ] => [ 1 2 ] */
  take = sublist 0;

  /** int -> [a] -> [a]: the last n, or all.
      takeEnd 2 [ 1 2 3 ] => [ 2 3 ] */
  takeEnd = n: xs: drop (lib.max 0 (length xs - n)) xs;

  /** int -> [a] -> [a]: without the first n.
      drop 2 [ 1 2 3 ] => [ 3 ] */
  drop = n: list: sublist n (length list) list;

  /** int -> [a] -> [a]: without the last n.
      dropEnd 2 [ 1 2 3 ] => [ 1 ] */
  dropEnd = n: xs: take (lib.max 0 (length xs - n)) xs;

  /** [a] -> [a] -> bool: does the second begin with the first?
      lists.hasPrefix [ 1 ] [ 1 2 ] => true */
  hasPrefix = prefix: list: take (length prefix) list == prefix;

  /** [a] -> [a] -> [a]: the second without the first at its beginning; an error where it is not there.
      lists.removePrefix [ 1 ] [ 1 2 ] => [ 2 ] */
  removePrefix = prefix: list:
    if hasPrefix prefix list then drop (length prefix) list
    else throw "lib.lists.removePrefix: the list does not begin with the given prefix; ask `lib.lists.hasPrefix` first";

  /** [a] -> [a] -> [a]: what both begin with.
      lists.commonPrefix [ 1 2 3 ] [ 1 2 4 ] => [ 1 2 ] */
  commonPrefix = xs: ys:
    let most = min (length xs) (length ys); in
    take (findFirstIndex (i: elemAt xs i != elemAt ys i) most (genList id most)) xs;

  /** int -> int -> [a] -> [a]: at most `count` elements from position `start` on.
      sublist 1 2 [ 1 2 3 4 ] => [ 2 3 ] */
  sublist = start: count: list:
    let left = length list - start; in
    genList (i: elemAt list (start + i)) (if left <= 0 then 0 else min left count);

  /** [a] -> a
      last [ 1 2 3 ] => 3 */
  last = list: orEmptyError "last" list (elemAt list (length list - 1));

  /** [a] -> [a]: all but the last.
      init [ 1 2 3 ] => [ 1 2 ] */
  init = list: orEmptyError "init" list (take (length list - 1) list);

  /** (a -> b -> … -> z) -> [ [a] [b] … ] -> [z]: the function over each combination.
      crossLists (x: y: x + y) [ [ 10 20 ] [ 1 2 ] ] => [ 11 12 21 22 ] */
  crossLists = f: foldl' (fs: args: concatMap (g: map g args) fs) [ f ];

  /** [a] -> [a]: the first of equal elements; in quadratic time (`uniqueStrings` is faster for texts).
      unique [ 3 2 3 4 ] => [ 3 2 4 ] */
  unique = foldl' (seen: x: if elem x seen then seen else seen ++ [ x ]) [ ];

  /** [string] -> [string]: each once, sorted.
      uniqueStrings [ "b" "a" "b" ] => [ "a" "b" ] */
  uniqueStrings = list: builtins.attrNames (groupBy id list);

  /** [a] -> bool: are all different?
      allUnique [ 1 2 1 ] => false */
  allUnique = list: length (unique list) == length list;

  /** [a] -> [a] -> [a]: what of the second is in the first.
      intersectLists [ 1 2 3 ] [ 6 3 2 ] => [ 3 2 ] */
  intersectLists = xs: filter (x: elem x xs);

  /** [a] -> [a] -> [a]: the second without what is in the first.
      subtractLists [ 3 2 ] [ 1 2 3 4 ] => [ 1 4 ] */
  subtractLists = xs: filter (x: !elem x xs);

  /** [a] -> [a] -> bool: have they nothing in common?
      mutuallyExclusive [ 1 2 ] [ 3 ] => true */
  mutuallyExclusive = xs: ys: !any (x: elem x xs) ys;

  /** { name = [a]; } -> [a]: the values of a set, in one list.
      lists.concatAttrValues { a = [ 1 ]; b = [ 2 ]; } => [ 1 2 ] */
  concatAttrValues = set: concatLists (builtins.attrValues set);
}
