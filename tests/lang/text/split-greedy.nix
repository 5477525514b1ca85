builtins.split "(a+)(b*)" "caabbdaa"
