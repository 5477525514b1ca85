let h = "sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="; in map (f: builtins.convertHash { hash = h; toHashFormat = f; }) [ "base16" "nix32" "base32" "base64" "sri" ]
