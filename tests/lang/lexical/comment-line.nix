# before
1 # after
+ # between
2
# last, without a newline
