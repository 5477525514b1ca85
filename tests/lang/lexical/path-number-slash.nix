builtins.typeOf 6/2
