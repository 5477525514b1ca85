map (x: x.key) (builtins.genericClosure { startSet = [ { key = 10; } { key = 1; } ]; operator = x: map (k: { key = k; }) (if x.key < 4 then [ (x.key + 1) (x.key + 2) ] else [ ]); })
