let f = { __functor = self: x: self.k * x; k = 2; }; in [ (f 3) ((f // { k = 5; }) 3) ]
