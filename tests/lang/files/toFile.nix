[ (builtins.toFile "name" "content") (builtins.toFile "name" "other") (builtins.toFile "empty" "") ]
