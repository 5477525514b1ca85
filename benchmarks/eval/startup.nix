# Nothing: what starting costs, which is part of every other row.
1
