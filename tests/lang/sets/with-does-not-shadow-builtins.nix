with { map = 1; toString = 2; builtins = 3; }; [ (builtins.typeOf map) (builtins.typeOf toString) ]
