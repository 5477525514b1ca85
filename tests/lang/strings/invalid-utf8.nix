builtins.stringLength "ÿþ"
