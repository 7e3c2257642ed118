r"""Dynamic generative memory by masks on weights: its generator grows and overwrites nothing.

Ostapenko et al. 2019 (arXiv:1904.03137), as `dgma` but for what is masked.

$$ m^t_l = \sigma(s\, e^t_l), \qquad h_l = \mathrm{relu}\left( (m^t_l \odot W_l)\, h_{l-1} \right), \qquad
\Delta W_l \leftarrow (1 - r_l) \odot \Delta W_l $$

$$ \Delta N_l = \left\lceil \frac{\max(n_l - g_l, 0)}{\mathrm{fan}_l} \right\rceil $$
"""

from keras_cl.methods.dgma import DGMa


class DGMw(DGMa):
    """L_S = 1/t CE(S(x), y) + (1 - 1/t) CE(S(G(z, c)), c), c of earlier tasks;  G learns x, within its masks

    As `dgma`, with a mask for every weight of the generator's hidden layers, which have no biases. Weights
    that a task used are fixed, and units with as many new weights come.
    """

    scenarios = ("class",)
    memories = ()
    search = {"sparsity": (0.01, 1.0), "generator_rate": (2e-4, 5e-3)}
    masks = "weights"
