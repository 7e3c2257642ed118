"""What a run is made of: the catalog of choices, the configuration, command-line flags."""
