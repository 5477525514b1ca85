builtins.length (builtins.attrNames { ${"a" + "b"} = throw "lazy"; })
