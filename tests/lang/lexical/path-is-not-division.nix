let a = 6; b = 2; in [ (baseNameOf a/b) (a / b) ]
