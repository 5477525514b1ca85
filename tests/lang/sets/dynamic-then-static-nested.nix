let n = "b"; in { a.${n} = 1; a.c = 2; }
