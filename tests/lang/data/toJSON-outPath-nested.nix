builtins.toJSON { outPath = { b = 1; }; }
