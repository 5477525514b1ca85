builtins.fromTOML ''
  basic = "tab\t quote\" u\u00e9"
  literal = 'C:\path'
  multi = """
  first
  second"""
  folded = """one \
      two"""
''
