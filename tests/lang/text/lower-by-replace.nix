let l = [ "a" "b" "c" ]; u = [ "A" "B" "C" ]; in builtins.replaceStrings u l "ABCabcX"
