"""Numerical functions: counter-based random numbers, schedules, least squares."""
