builtins.tryEval <no-such-entry>
