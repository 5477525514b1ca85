throw "value: ${toString [ 1 2 ]}"
