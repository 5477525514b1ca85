[ 1 (1 + 1) "a" ("a" + "b") (x: x) [ 1 ] { } null true ]
