let f = x: x; l = [ f ]; in [ ([ f ] == [ f ]) (l == l) ({ a = f; } == { a = f; }) ]
