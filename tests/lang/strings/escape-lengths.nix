map builtins.stringLength [ "\n" "\\n" "\z" "\$" "\${" "ä" "😀" "$" "$$" ]
