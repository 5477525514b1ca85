let c = { d = 2; }; in builtins.seq c [ c 1 ]
