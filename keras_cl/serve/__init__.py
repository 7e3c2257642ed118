"""Exported models over REST and gRPC, as TensorFlow Serving answers: `python -m keras_cl.serve`."""
