{ }.a or { b = 7; }.b
