map builtins.fromJSON [ "null" "true" "1" "-5" "1.5" "1e3" "\"a\"" "[]" "{}" "[1,[2]]" " { \"b\" : 1 , \"a\":\"x\" } " ]
