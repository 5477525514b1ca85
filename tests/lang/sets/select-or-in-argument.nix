let f = x: x + 1; s = { }; in f s.a or 4
