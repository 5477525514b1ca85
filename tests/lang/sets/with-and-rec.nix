rec { a = 1; b = with { a = 5; c = 6; }; [ a c ]; }
