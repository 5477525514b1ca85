builtins.deepSeq [ (x: throw "never") ] 1
