"""Settings of a run: the catalog of choices, the configuration, command-line flags."""
