baseNameOf (/a + /b/c)
