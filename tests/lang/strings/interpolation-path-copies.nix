"${../fixtures/text.txt}"
