"""Many runs as one command: the grid of settings, and where its runs are trained."""
