''say "hi" \ ''
