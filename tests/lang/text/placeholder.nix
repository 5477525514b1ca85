map builtins.placeholder [ "out" "bin" "dev" "" ]
