''
  one
    two
''
