map baseNameOf [ ./a ../b a/b ./a/b.c a/../b /x/y ]
