assert true; 1 + 2
