"costs 5$"
