{ "if" = 1; "let" = 2; "or" = 3; "rec" = 4; "with" = 5; "in" = 6; "then" = 7; "else" = 8; "assert" = 9; "inherit" = 10; "true" = 11; }
