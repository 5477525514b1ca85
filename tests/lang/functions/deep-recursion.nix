let count = n: if n == 0 then "done" else count (n - 1); in count 5000
