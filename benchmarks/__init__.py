"""Programs that measure the speed of the library; ratios of one run count, these are no tests."""
