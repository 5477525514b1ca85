({ a ? 1, ... }@all: [ a all ]) { b = 2; }
