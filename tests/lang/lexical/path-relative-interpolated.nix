let x = "fixtures"; in import ../${x}/scoped-inner.nix
