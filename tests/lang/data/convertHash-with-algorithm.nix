map (h: builtins.convertHash { hash = h; hashAlgo = "sha1"; toHashFormat = "sri"; }) [ "a9993e364706816aba3e25717850c26c9cd0d89d" "kpcd173cq987hw957sx6m0868wv3x6d9" ]
