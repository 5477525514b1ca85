let d = derivation { name = "fixed"; builder = "b"; system = "s"; outputHashMode = "recursive"; outputHash = "sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="; }; in [ d.drvPath d.outPath ]
