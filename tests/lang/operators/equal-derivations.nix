let d = n: derivation { name = "d"; builder = "b"; system = "s"; inherit n; }; in
[ (d 1 == d 1) (d 1 == d 2) (d 1 == d 1 // { extra = 1; }) (d 1 // { f = x: x; } == d 1) ]
