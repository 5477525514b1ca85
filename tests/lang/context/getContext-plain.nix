builtins.getContext "x"
