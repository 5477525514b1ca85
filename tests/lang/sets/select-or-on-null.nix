null.a or "default"
