<fixtures/no-such-file>
