builtins.readFile ../../../../etc/passwd
