builtins.convertHash { hash = "md5:9001"; toHashFormat = "sri"; }
