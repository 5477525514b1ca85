builtins.fromTOML "# only\na = 1 # end\n"
