let a = { self = a; }; in a
