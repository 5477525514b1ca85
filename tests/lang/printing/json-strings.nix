"tab\t newline\n quote\" backslash\\ é 😀 slash/"
