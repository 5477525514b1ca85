builtins.replaceStrings [ "\n" "\"" ] [ "\\n" "'" ] "a\n\"b\"\n"
