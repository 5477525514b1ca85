builtins.match "[[:nothing:]]" "a"
