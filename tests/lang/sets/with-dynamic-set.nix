with builtins.listToAttrs [ { name = "x"; value = 5; } ]; x
