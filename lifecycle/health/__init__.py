"""Fits the parameters of health and dormancy, and validates the scores made with them."""
