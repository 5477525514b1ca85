let a = { }; l = [ ]; in [ a a l l ]
