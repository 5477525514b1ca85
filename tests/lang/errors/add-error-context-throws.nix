builtins.addErrorContext "while testing" (throw "inner")
