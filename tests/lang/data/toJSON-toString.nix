builtins.toJSON { __toString = _: "text"; a = 1; }
