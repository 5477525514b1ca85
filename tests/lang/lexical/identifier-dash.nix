let a-b = 1; a- = 2; a--b = 3; in [ a-b a- a--b ]
