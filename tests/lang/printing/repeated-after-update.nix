let a = { x = { y = 1; }; }; in [ a (a // { z = 1; }) ]
