map builtins.stringLength [ "" "abc" "é" "😀" "a\nb" ]
