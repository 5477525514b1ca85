let f = x: x; in { inherit f; }
