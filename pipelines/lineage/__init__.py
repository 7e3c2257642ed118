"""Where artifacts come from and what they influenced: `python -m pipelines.lineage`."""
