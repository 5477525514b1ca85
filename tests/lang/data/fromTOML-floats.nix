builtins.fromTOML ''
  a = 1e3
  b = 1.5E-2
  c = +1.0
  d = -0.0
''
