let s = { f = x: x + 1; v = 4; }; in s.f s.v
