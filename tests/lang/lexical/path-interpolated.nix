let x = "mid"; n = "1"; in map toString [ /a/${x}/b /a${x} /a/${x + "dle"}.nix /${x} /a/b${x}c${n} /${x}${n} ]
