[ (builtins.match "a.b" "a\nb") (builtins.match "(.*)\n(.*)" "x\ny") (builtins.match "a$" "a\n") ]
