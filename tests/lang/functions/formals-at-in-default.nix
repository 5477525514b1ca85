({ a, b ? all.a + 1 }@all: b) { a = 1; }
