{ n ? "none" }: { a = n; }
