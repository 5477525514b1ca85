undefined.a or 1
