let f = builtins.toFile "a" "b"; in [ (builtins.hasContext f) (builtins.hasContext "x") (builtins.hasContext "x${f}") (builtins.hasContext (builtins.unsafeDiscardStringContext f)) ]
