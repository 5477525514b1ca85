with { __add = 5; }; builtins.typeOf __add
