builtins.filter (throw "never") [ ]
