let s = { a = 1; f = x: x; }; in [ s.a s.b or 2 s.f 3 ]
