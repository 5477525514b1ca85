let d = derivation { name = "multi"; builder = "b"; system = "s"; outputs = [ "lib" "out" ]; }; in [ d.outputName "${d}" d.out.outPath ]
