rec { a = 1; b = { c = a; }; d = rec { a = 2; e = a; }; }
