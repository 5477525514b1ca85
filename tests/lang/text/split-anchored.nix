[ (builtins.split "^a" "aab") (builtins.split "b$" "abb") ]
