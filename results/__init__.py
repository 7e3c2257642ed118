"""Measured results: one flagfile a row, the numbers that it gave, and the tables made of them."""
