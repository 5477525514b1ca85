{ type = "derivation"; }
