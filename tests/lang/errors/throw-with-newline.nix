throw "first\nsecond"
