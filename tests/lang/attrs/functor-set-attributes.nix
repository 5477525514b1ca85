builtins.attrNames { __functor = self: x: x; a = 1; }
