r"""Deep generative replay with distillation: labels generated images with class probabilities (soft labels).

Van de Ven and Tolias 2018 (arXiv:1809.10635).

$$ \mathcal{L}_t = \frac{1}{t}\, \mathrm{CE}(S(x), y) - \left(1 - \frac{1}{t}\right) T^2 \sum_c q_c
\log \operatorname{softmax}\left(\frac{S(x')}{T}\right)_c, \qquad
q = \operatorname{softmax}\left(\frac{S_{t-1}(x')}{T}\right) $$
"""

from keras_cl.methods.dgr import DGR


class DGRDistill(DGR):
    """L = 1/t CE(S(x), y) - (1 - 1/t) T^2 sum_c q_c log softmax(S(x') / T)_c,  q = softmax(S_{t-1}(x') / T)

    Classes that were not seen before have probability zero.

    Args:
      network: raw images to logits, S; a functional or sequential model, which is copied.
    """

    usual = {"memory": "vae", "memory.labels": "soft"}
    stored = False
    search = {"memory.weighting": ["share", "mean"], "memory.temperature": [1.0, 2.0, 4.0]}
