''
  a

  b
      
  c
''
