# How `||` binds against each operator to its right: operands are such that another grouping answers otherwise.
{
  "++" = true || [ 1 ] ++ [ 1 ];
  "*" = true || 12 * 12;
  "/" = true || 12 / 12;
  "+" = true || 12 + 12;
  "-" = true || 12 - 12;
  "//" = true || { a = 1; } // { a = 1; };
  "<" = true || 12 < 12;
  "<=" = true || 12 <= 12;
  ">" = true || 12 > 12;
  ">=" = true || 12 >= 12;
  "==" = true || 12 == 12;
  "!=" = true || 12 != true;
  "&&" = true || true && false;
  "||" = true || 12 || 12;
  "->" = true || true -> false;
}
