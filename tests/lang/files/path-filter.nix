[ (builtins.path { path = ../fixtures/tree; filter = p: t: baseNameOf p != "sub"; name = "t"; }) (builtins.path { path = ../fixtures/tree; filter = p: t: t == "regular"; name = "t"; }) ]
