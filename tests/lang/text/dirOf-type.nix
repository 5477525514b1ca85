map (x: builtins.typeOf (dirOf x)) [ /a/b "/a/b" ]
