"""Fitting the parameters of health and dormancy, and validating what models make of them."""
