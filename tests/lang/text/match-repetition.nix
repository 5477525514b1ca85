[ (builtins.match "a{2}" "aa") (builtins.match "a{2,3}" "aaaa") (builtins.match "a{2,}" "aaaa") (builtins.match "(ab)*" "abab") (builtins.match "(a?)(b+)" "bb") (builtins.match "(a|b)*c" "abac") ]
