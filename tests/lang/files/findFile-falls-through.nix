let path = [ { prefix = "x"; path = ../fixtures/shadow; } { prefix = "x"; path = ../fixtures; } ]; in import (builtins.findFile path "x/scoped-inner.nix")
