"""Benchmarks of the library's speed: compare ratios within one run only. These are not tests."""
