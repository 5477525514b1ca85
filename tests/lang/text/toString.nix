map toString [ "a" 1 1.5 true false null [ ] [ 1 2 ] [ 1 [ 2 [ 3 ] ] "x" ] [ true false null ] [ [ ] 1 ] [ "" "a" ] ]
