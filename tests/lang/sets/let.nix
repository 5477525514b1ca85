let a = 1; b = a + 1; c = b + 1; in [ a b c ]
