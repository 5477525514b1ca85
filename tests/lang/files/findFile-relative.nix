builtins.readFile (builtins.findFile [ { prefix = "a"; path = "./fixtures"; } { prefix = ""; path = "fixtures"; } ] "a/text.txt")
