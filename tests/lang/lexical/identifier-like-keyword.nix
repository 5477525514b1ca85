let iff = 1; lets = 2; inn = 3; recc = 4; withh = 5; null' = 6; in [ iff lets inn recc withh null' ]
