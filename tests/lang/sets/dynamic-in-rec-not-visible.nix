let x = 5; in rec { ${"x" + ""} = 1; y = x; }
