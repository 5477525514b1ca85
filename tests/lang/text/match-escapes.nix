[ (builtins.match "\\(\\)" "()") (builtins.match "\\$x" "\$x") (builtins.match "[]]" "]") (builtins.match "[^]]" "a") (builtins.match "a\\.b" "a.b") (builtins.match "a\\.b" "axb") ]
