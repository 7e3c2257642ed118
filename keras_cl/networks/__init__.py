"""Networks, one file each: functions of a stream that return a `tf_keras.Model` from raw images to logits."""

from keras_cl.networks.mlp import mlp

__all__ = ["mlp"]
