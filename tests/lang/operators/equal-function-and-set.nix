{ __functor = self: x: x; } == (x: x)
