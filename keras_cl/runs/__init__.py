"""A run on disk and on the screen: directory, checkpoints, exported models, results, figures."""
