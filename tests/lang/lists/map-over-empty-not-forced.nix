map (throw "never") [ ]
