builtins.toFile "x" "refers to ${builtins.toFile "a" "b"}"
