[ (builtins.split "" "abc") (builtins.split "b*" "abc") (builtins.split "(x*)" "axxb") ]
