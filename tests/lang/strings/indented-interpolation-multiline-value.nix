let x = "1\n2\n  3"; in ''
  a
    ${x}
  b
''
