"""The laws that every method must keep: `python -m keras_cl.check` and the contract test."""
