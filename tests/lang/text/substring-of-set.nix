builtins.substring 0 4 { outPath = "/outpath"; }
