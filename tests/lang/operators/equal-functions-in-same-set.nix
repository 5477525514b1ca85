let s = { f = x: x; }; in [ (s == s) (s.f == s.f) ]
