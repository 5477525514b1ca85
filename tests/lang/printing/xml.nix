{ a = 1; b = [ null true 1.5 "x<&>\"'" ]; c = { }; f = x: x; g = { y, z ? 1, ... }@all: y; p = /a/b; }
