let path = [ { prefix = "a"; path = ../fixtures; } { prefix = ""; path = ../fixtures/shadow; } ]; in map (n: baseNameOf (builtins.findFile path n)) [ "a/text.txt" "a" "folder" ]
