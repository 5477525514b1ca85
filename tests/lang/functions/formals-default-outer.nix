let b = 7; in ({ a ? b }: a) { }
