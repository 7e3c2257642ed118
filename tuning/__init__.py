"""Searches of settings with Keras Tuner: `python -m tuning.search`. It uses keras_cl, never the other way."""
