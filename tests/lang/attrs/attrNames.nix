builtins.attrNames { b = 1; a = 2; "0" = throw "lazy"; Z = 3; }
