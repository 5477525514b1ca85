# How `/` binds against each operator to its right: operands are such that another grouping answers otherwise.
{
  "*" = 12 / 12 * 12;
  "/" = 12 / 12 / 12;
  "+" = 12 / 12 + 12;
  "-" = 12 / 12 - 3;
  "<" = 12 / 12 < 12;
  "<=" = 12 / 12 <= 12;
  ">" = 12 / 12 > 12;
  ">=" = 12 / 12 >= 12;
  "==" = 12 / 12 == 12;
  "!=" = 12 / 12 != 12;
}
