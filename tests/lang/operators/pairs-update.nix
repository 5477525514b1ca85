# How `//` binds against each operator to its right: operands are such that another grouping answers otherwise.
{
  "//" = { a = 1; } // { a = 1; } // { a = 1; };
  "==" = { a = 1; } // { a = 1; } == 12;
  "!=" = { a = 1; } // { a = 1; } != 12;
}
