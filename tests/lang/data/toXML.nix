builtins.toXML { a = 1; b = [ null true 1.5 "x<&>\"'\n" ]; c = { }; }
