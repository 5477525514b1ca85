builtins.attrNames (builtins.zipAttrsWith (throw "never") [ { a = throw "v"; } ])
