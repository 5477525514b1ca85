"a" + "b" + /c == null
