lib: with lib; {
  pathThroughOthers = [ (attrByPath [ "a" "b" ] 0 { a = 1; }) 0 ];
  pathEmpty = [ (attrByPath [ ] 0 { a = 1; }) { a = 1; } ];
  pathLazy = [ (hasAttrByPath [ "a" ] { a = throw "not looked at"; }) true ];
  longest = [ (longestValidPathPrefix [ "a" "b" "c" ] { a.b = 1; }) [ "a" "b" ] ];
  updateOrder = [
    (updateManyAttrsByPath [
      { path = [ "a" ]; update = old: { outer = old; }; }
      { path = [ "a" "b" ]; update = old: old * 10; }
      { path = [ "a" "b" ]; update = old: old + 1; }
    ] { a.b = 1; a.c = 2; d = 3; })
    { a.outer = { b = 11; c = 2; }; d = 3; }
  ];
  updateNew = [ (updateManyAttrsByPath [ { path = [ "x" "y" ]; update = _: 1; } ] { a = 1; }) { a = 1; x.y = 1; } ];
  updateRoot = [ (updateManyAttrsByPath [ { path = [ ]; update = old: old // { b = 2; }; } ] { a = 1; }) { a = 1; b = 2; } ];
  updateNothing = [ (updateManyAttrsByPath [ ] { a = 1; }) { a = 1; } ];
  concatMap = [ (concatMapAttrs (name: value: { ${name + value} = value; x = name; }) { a = "1"; b = "2"; }) { a1 = "1"; b2 = "2"; x = "b"; } ];
  mergeList = [ (mergeAttrsList [ { a = 0; } { b = 1; a = 1; } { c = 2; a = 2; } ]) { a = 2; b = 1; c = 2; } ];
  mergeNone = [ (mergeAttrsList [ ]) { } ];
  mergeLazy = [ (mergeAttrsList [ { a = throw "unused"; } { a = 1; } { b = 2; } ]) { a = 1; b = 2; } ];
  updateLazy = [ (recursiveUpdate { a = 1; b = throw "unused"; } { b = 2; }).a 1 ];
  updateSetOverValue = [ (recursiveUpdate { a = 1; } { a.b = 2; }) { a.b = 2; } ];
  overrideLazy = [ (overrideExisting { a = 1; b = 2; } { b = 3; c = throw "unused"; }) { a = 1; b = 3; } ];
  product = [ (cartesianProduct { a = [ 1 2 ]; b = [ 3 4 ]; }) [ { a = 1; b = 3; } { a = 1; b = 4; } { a = 2; b = 3; } { a = 2; b = 4; } ] ];
  productEmpty = [ (cartesianProduct { }) [ { } ] ];
  productNone = [ (cartesianProduct { a = [ ]; b = [ 1 ]; }) [ ] ];
  leaves = [ (mapAttrsToListRecursive (path: v: [ path v ]) { a.b = 1; c = 2; d = { }; }) [ [ [ "a" "b" ] 1 ] [ [ "c" ] 2 ] ] ];
  showPaths = [ (map showAttrPath [ [ ] [ "a" ] [ "a" "b.c" "if" ] ]) [ "<root attribute path>" "a" "a.\"b.c\".\"if\"" ] ];
  outputs = [ (map (f: f { out = 1; lib = 2; static = 3; }) [ getLib getStatic getBin getInclude ]) [ 2 3 1 1 ] ];
  outputSpecified = [ (getDev { outputSpecified = true; dev = 1; v = 2; }) { outputSpecified = true; dev = 1; v = 2; } ];
  foldl = [ (foldlAttrs (acc: name: value: acc + name + toString value) "" { b = 2; a = 1; }) "a1b2" ];
  genAttrsFrom = [ (genAttrs' [ "x" "y" ] (s: nameValuePair "${s}1" s)) { x1 = "x"; y1 = "y"; } ];
  disjoint = [ (attrNames (unionOfDisjoint { a = 1; } { a = 2; })) [ "a" ] ];
}
