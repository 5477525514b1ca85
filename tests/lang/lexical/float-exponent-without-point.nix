let e3 = "name"; in [ 1e3 ]
