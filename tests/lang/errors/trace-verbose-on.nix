builtins.traceVerbose "loud" 3
