(derivation { name = "env"; builder = "b"; system = "s"; int = 1; float = 1.5; yes = true; no = false; nothing = null; list = [ 1 "two" [ "three" ] ]; text = "a\nb\"\\"; }).drvPath
