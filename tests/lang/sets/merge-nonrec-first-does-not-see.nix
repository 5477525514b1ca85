let c = 9; in { a = { b = c; }; a = rec { c = 5; }; }
