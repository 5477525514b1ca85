let a = { l = [ 1 2 3 ]; }; in [ a.l a ]
