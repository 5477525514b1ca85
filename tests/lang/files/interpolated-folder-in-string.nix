builtins.match "/nix/store/[a-z0-9]{32}-folder/x" "${../fixtures/folder}/x" != null
