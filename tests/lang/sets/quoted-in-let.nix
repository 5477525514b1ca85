let "x y" = 1; "z" = 2; in z
