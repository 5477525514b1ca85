builtins.path { path = ../fixtures/text.txt; recursive = false; name = "n"; sha256 = builtins.hashFile "sha256" ../fixtures/text.txt; }
