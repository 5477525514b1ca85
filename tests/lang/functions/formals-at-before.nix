(all@{ a, ... }: [ a all ]) { a = 1; b = 2; }
