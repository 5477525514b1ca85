builtins.attrNames __curPos
