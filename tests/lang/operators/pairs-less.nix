# How `<` binds against each operator to its right: operands are such that another grouping answers otherwise.
{
  "++" = [ 1 ] < [ 1 ] ++ [ 1 ];
  "*" = 12 < 12 * 12;
  "/" = 12 < 12 / 12;
  "+" = 12 < 12 + 12;
  "-" = 12 < 12 - 12;
  "==" = 12 < 12 == 12;
  "!=" = 12 < 12 != 12;
  "&&" = 12 < 12 && 12;
  "||" = 12 < 12 || true;
  "->" = 12 < 12 -> 12;
}
