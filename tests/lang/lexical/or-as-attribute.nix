let or = 1; s = { or = 2; }; in s.or
