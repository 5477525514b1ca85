let f = { a, b ? 1,
  c }: a; p = n: let q = builtins.unsafeGetAttrPos n (builtins.functionArgs f); in [ q.line q.column ]; in [ (p "a") (p "b") (p "c") ]
