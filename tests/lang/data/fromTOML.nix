builtins.fromTOML ''
  title = "example"
  int = 42
  neg = -17
  float = 3.14
  bool = true
  hex = 0xff
  oct = 0o17
  bin = 0b101
  under = 1_000
  list = [ 1, 2, 3 ]
  mixed = [ "a", 1 ]
  [table]
  key = "v"
  [table.sub]
  x = 1
  [[items]]
  name = "one"
  [[items]]
  name = "two"
''
