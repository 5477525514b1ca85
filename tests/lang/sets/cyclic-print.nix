let a = { b = 1; self = a; }; in a.self.self.b
