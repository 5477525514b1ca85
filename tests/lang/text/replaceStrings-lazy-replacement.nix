builtins.replaceStrings [ "x" "a" ] [ (throw "never") "1" ] "abc"
