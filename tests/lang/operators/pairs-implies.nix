# How `->` binds against each operator to its right: operands are such that another grouping answers otherwise.
{
  "++" = false -> [ 1 ] ++ [ 1 ];
  "*" = false -> 12 * 12;
  "/" = false -> 12 / 12;
  "+" = false -> 12 + 12;
  "-" = false -> 12 - 12;
  "//" = false -> { a = 1; } // { a = 1; };
  "<" = true -> 12 < 12;
  "<=" = true -> 12 <= 12;
  ">" = true -> 12 > 12;
  ">=" = true -> 12 >= 12;
  "==" = false -> 12 == 12;
  "!=" = false -> 12 != true;
  "&&" = false -> true && false;
  "||" = true -> true || 12;
  "->" = false -> true -> false;
}
