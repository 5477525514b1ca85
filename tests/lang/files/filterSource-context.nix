builtins.getContext (builtins.filterSource (p: t: true) ../fixtures/text.txt)
