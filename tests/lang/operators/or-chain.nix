{ a.b = 1; }.a.c or { a = 2; }.a
