let a = "A"; in "x${a}y${a + "B"}z"
