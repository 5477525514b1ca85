[ (x: x) ({ a }: a) builtins.map (builtins.map (x: x)) builtins.substring (builtins.substring 1) ]
