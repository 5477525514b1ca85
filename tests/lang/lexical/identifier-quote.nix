let x' = 1; x'' = 2; a'b = 3; in [ x' x'' a'b ]
