builtins.break 5
