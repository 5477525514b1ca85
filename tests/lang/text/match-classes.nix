map (r: builtins.match r "aZ9_ .") [ "[a-z][A-Z][0-9]_ \\." "[[:alpha:]]+[[:digit:]]_.*" "[[:alnum:]_]+[[:blank:]][[:punct:]]" "[^b]*" "[[:lower:]].*" "[[:xdigit:]]Z.*" ]
