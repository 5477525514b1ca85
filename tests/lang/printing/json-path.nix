../fixtures/text.txt
