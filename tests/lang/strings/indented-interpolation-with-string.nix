''
  ${''
      inner
  ''}
  outer
''
