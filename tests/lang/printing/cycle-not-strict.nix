let x = { a = 1; y = x; z = { w = x.a; }; }; in builtins.seq x.z.w x
