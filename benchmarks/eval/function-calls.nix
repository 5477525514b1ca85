# Calls: recursion, several arguments at once and one by one, formals with defaults, functions handed about.
let
  range = builtins.genList (i: i);
  fib = n: if n < 2 then n else fib (n - 1) + fib (n - 2);
  ackermann = m: n: if m == 0 then n + 1 else if n == 0 then ackermann (m - 1) 1 else ackermann (m - 1) (ackermann m (n - 1));
  open = { first, second ? first + 1, third ? second + 1, ... }: first + second + third;
  closed = { first, second ? 2 }@all: if all ? third then 0 else first + second;
  compose = f: g: x: f (g x);
  addThree = compose (x: x + 1) (compose (x: x + 1) (x: x + 1));
  loop = n: sum: if n == 0 then sum else loop (n - 1) (sum + n);
in
[
  (fib 27)
  (ackermann 2 150)
  (builtins.foldl' (sum: i: sum + open { first = i; } + open { first = i; second = 1; other = 2; } + closed { first = i; }) 0 (range 300000))
  (builtins.foldl' (sum: i: sum + addThree i) 0 (range 400000))
  (builtins.foldl' (sum: i: sum + loop 100 0) 0 (range 6000))
]
