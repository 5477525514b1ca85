{ a.${null}.b = 1; c = 2; }
