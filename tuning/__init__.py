"""Hyperparameter search with Keras Tuner: `python -m tuning.search`. It uses keras_cl, never the reverse."""
