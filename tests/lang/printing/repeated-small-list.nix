let a = [ 1 2 ]; in [ a (map (x: x) a) a ]
