let f = x: x; or = 7; in f or
