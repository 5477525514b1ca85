map builtins.splitVersion [ "1.2.3" "1.2pre3" "" "1..2" "a-b_c" "2.3.1-rc1" "01.002" "1.2.3." "v1" ]
