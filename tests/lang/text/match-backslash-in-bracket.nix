builtins.match "[a\\]" "a"
