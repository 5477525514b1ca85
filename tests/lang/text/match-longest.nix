[ (builtins.match "(a|ab)(c|bcd)(d*)" "abcd") (builtins.match "(a*)(a|aa)" "aaa") (builtins.match "(.*)/([^/]*)" "a/b/c") ]
