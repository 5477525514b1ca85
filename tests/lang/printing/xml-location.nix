{ inherit ({ x = 1; }) x; "a b" = "\n"; }
