let s = { a = 4; }; in - s.a
