let s = { a.b.c = null; n = 1; }; in [ (s ? a) (s ? a.b) (s ? a.b.c) (s ? a.x) (s ? n.x) (s ? a.b.c.d) (s ? "a") (s ? ${"a"}."b") (1 ? a) (null ? a) ([ ] ? a) ]
