"""Deep generative replay with distillation: labels generated images with class probabilities (soft labels).

Van de Ven and Tolias 2018 (arXiv:1809.10635).
"""

from keras_cl.methods.dgr import DGR


class DGRDistill(DGR):
    """L = 1/t CE(S(x), y) - (1 - 1/t) T^2 sum_c q_c log softmax(S(x') / T)_c,  q = softmax(S_{t-1}(x') / T)

    Classes that were not seen before have probability zero.

    Args:
      network: raw images to logits, S; a functional or sequential model, which is copied.
    """

    usual = {"memory": "vae", "memory.labels": "soft"}
    memories = ("vae",)
    search = {"memory.weighting": ["share", "mean"], "memory.temperature": [1.0, 2.0, 4.0]}
