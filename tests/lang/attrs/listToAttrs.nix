builtins.listToAttrs [ { name = "b"; value = 1; } { name = "a"; value = throw "lazy" // { }; } ] ? a
