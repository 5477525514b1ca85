[ (builtins.split "a" "") (builtins.split "" "") ]
