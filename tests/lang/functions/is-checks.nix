let v = [ 1 1.5 "a" true null [ ] { } (x: x) builtins.add /a ]; in {
  int = map builtins.isInt v; float = map builtins.isFloat v; string = map builtins.isString v; bool = map builtins.isBool v;
  null = map isNull v; list = map builtins.isList v; attrs = map builtins.isAttrs v; function = map builtins.isFunction v; path = map builtins.isPath v; }
