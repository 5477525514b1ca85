builtins.stringLength http://x
