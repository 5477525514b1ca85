builtins.toJSON { a = throw "forced"; }
