let
  a = 1; # comment
  b = 2;
in
[ a b ]
