let f = x: { inherit x; }; in f 1 ? x
