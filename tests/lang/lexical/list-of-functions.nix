map (f: f 1) [ (x: x) (x: x + 1) ]
