builtins.attrNames (builtins.groupBy (x: x.n) [ { n = "a"; v = throw "never"; } ])
