map (s: builtins.pathExists (toString ../fixtures + s)) [ "" "/" "/." "/text.txt" "/text.txt/" "/tree/link/" "/tree/to-sub/" "/none" ]
