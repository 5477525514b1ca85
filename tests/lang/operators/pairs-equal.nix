# How `==` binds against each operator to its right: operands are such that another grouping answers otherwise.
{
  "++" = 12 == [ 1 ] ++ [ 1 ];
  "*" = 12 == 12 * 12;
  "/" = 12 == 12 / 12;
  "+" = 12 == 12 + 12;
  "-" = 12 == 12 - 12;
  "//" = 12 == { a = 1; } // { a = 1; };
  "<" = 12 == 12 < 12;
  "<=" = 12 == 12 <= 12;
  ">" = 12 == 12 > 12;
  ">=" = 12 == 12 >= 12;
  "&&" = false == true && false;
  "||" = 12 == true || true;
  "->" = 12 == true -> true;
}
