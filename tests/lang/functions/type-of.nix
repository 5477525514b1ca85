map builtins.typeOf [ 1 1.5 "a" true null [ ] { } (x: x) ({ a }: a) builtins.add (builtins.add 1) /a ]
