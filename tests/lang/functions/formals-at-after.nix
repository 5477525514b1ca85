({ a, ... }@all: [ a all ]) { a = 1; b = 2; }
