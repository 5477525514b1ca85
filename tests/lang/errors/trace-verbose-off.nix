builtins.traceVerbose "quiet" 3
