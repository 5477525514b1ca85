{ type = "derivation"; drvPath = "/nix/store/x"; name = "n"; }
