builtins.match "x/nix/store/.*-text.txt" ("x" + ../fixtures/text.txt) != null
