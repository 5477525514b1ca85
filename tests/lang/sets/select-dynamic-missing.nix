let n = "no"; in { a = 1; }.${n}
