"""The laws that every method keeps, whoever wrote it: `python -m keras_cl.check` and the contract test."""
