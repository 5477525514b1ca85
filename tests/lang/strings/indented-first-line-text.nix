''a
    b
      c
''
