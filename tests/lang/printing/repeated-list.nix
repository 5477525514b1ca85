let a = [ 1 ]; in { x = a; y = a; }
