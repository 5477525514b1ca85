builtins.attrNames { ${builtins.unsafeDiscardStringContext (builtins.toFile "a" "b")} = 1; }
