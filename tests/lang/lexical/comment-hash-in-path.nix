[ (baseNameOf ./a#b
) ]
