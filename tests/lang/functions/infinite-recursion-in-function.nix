let f = x: f x; x = f x; y = y + 1; in y
