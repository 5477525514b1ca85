{ x, y, z ? 5 }: [ x y z ]
