[ (1 + 1 |> toString) (true -> false |> (x: !x)) ([ 3 ] ++ [ 1 ] |> map (x: x + 1)) ]
