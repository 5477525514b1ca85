rec { a = "n"; ${a + "m"} = 2; }
