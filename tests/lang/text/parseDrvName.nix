map builtins.parseDrvName [ "nix-0.12pre12876" "hello" "a-b-1.2" "a-1b" "a-" "-1" "1.0" "name-with-dashes" "" "firefox-esr-45.0.2-x86" "a--1" ]
