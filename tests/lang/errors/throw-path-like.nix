throw (toString /a/b)
