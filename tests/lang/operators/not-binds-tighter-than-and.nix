[ (!true && false) (!(true && false)) (!false || true) (! 1 == 2) ]
