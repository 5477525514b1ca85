builtins.replaceStrings [ "a" "aa" ] [ "aa" "b" ] "aaa"
