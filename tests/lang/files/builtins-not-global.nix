elemAt [ 1 ] 0
