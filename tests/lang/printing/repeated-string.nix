let a = "s"; in [ a a ]
