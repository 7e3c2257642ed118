"""Metrics of continual learning, as pure functions of the accuracy matrix R.

GEM: Lopez-Paz & Ranzato 2017, arXiv:1706.08840; Chaudhry et al. 2018, arXiv:1801.10112; A-GEM: Chaudhry et
al. 2019, arXiv:1812.00420; Diaz-Rodriguez et al. 2018, arXiv:1810.13166.
Metrics of what is measured inside a task: `keras_cl.anytime`.

R has shape [T + 1, T] and holds fractions: row 0 is b, the untrained network; R[i, j] in the formulas is the
accuracy on task j after learning task i, both counted from 1 (R[i, j - 1] in numpy). NaN means not measured:
a metric that needs such an entry is None, never 0. The comments number the definitions.
"""

import numpy as np

from keras_cl import anytime


def _matrix(R):
    R = np.asarray(R, dtype=float)
    if R.ndim != 2 or R.shape[1] < 1 or R.shape[0] != R.shape[1] + 1:
        raise ValueError(f"R has shape {R.shape}; needed is [T + 1, T], row 0 before training.")
    return R


def _upto(task, T):
    if task is not None and task not in range(1, T + 1):
        raise ValueError(f"task is {task}; possible are 1 to {T}, or None for the last task.")
    return T if task is None else int(task)


def _vector(name, values, length):
    values = np.asarray(values, dtype=float)
    if values.shape not in ((), (length,)):
        raise ValueError(f"{name} has shape {values.shape}; needed is one number or {length}.")
    return np.broadcast_to(values, (length,))


def _positive(name, values, or_zero=False):
    values = np.asarray(values, dtype=float)
    if values.size == 0 or not np.all(values >= 0 if or_zero else values > 0):
        need = "at least 0" if or_zero else "above 0"
        raise ValueError(f"{name} is {values.tolist()}; needed are numbers {need}.")
    return values


def _convex(weights, length):
    weights = _vector("weights", 1 / length if weights is None else weights, length)
    if not np.isclose(_positive("weights", weights, or_zero=True).sum(), 1):
        raise ValueError(f"weights are {weights.tolist()}, of sum {weights.sum()}; needed is 1.")
    return weights


def _mean(values, weights=None):
    values = np.asarray(values, dtype=float)
    if values.size == 0 or np.isnan(values).any():
        return None
    return float(np.average(values, weights=weights))


def _peak(R, j, first, last):
    """max_l R[l, j], l = first..last; rows before task j was learned count only if they were measured."""
    before, since = R[first:j, j - 1], R[j : last + 1, j - 1]
    return np.max(np.concatenate([before[~np.isnan(before)], since]))


def average_accuracy(R, task=None, weights=None):
    """A_t = (1/t) sum_{j<=t} R[t, j], a fraction in [0, 1]; t = T by default (GEM, 1706.08840).

    With weights, T test-set sizes, A_t is the accuracy on the pooled test sets.
    """
    R = _matrix(R)
    T = R.shape[1]
    t = _upto(task, T)
    if weights is not None:
        weights = _positive("weights", _vector("weights", weights, T))[:t]
    return _mean(R[t, :t], weights)  # M1


def average_incremental_accuracy(R):
    """AIA = (1/T) sum_t A_t, a fraction in [0, 1] (iCaRL, 1611.07725)."""
    R = _matrix(R)
    return _mean([average_accuracy(R, t) for t in range(1, R.shape[1] + 1)])  # M2


def forgetting(R, task=None, from_diagonal=False):
    """F_t = (1/(t-1)) sum_{j<t} (max_l R[l, j] - R[t, j]), l = 1..t-1, a fraction in [-1, 1].

    None for t = 1 (Chaudhry et al., 1801.10112). Rows l < j count if they were measured, or not at all with
    from_diagonal, as in the Continuum library.
    """
    R = _matrix(R)
    t = _upto(task, R.shape[1])
    drops = [_peak(R, j, j if from_diagonal else 1, t - 1) - R[t, j - 1] for j in range(1, t)]
    return _mean(drops)  # M3


def peak_forgetting(R):
    """F_T, but with l = 1..T, a fraction in [0, 1]; None for T = 1 (Mirzadeh, code, 2006.06958)."""
    R = _matrix(R)
    T = R.shape[1]
    return _mean([_peak(R, j, 1, T) - R[T, j - 1] for j in range(1, T)])  # M4


def backward_transfer(R):
    """BWT = (1/(T-1)) sum_{i<T} (R[T, i] - R[i, i]), in [-1, 1]; None for T = 1 (1706.08840)."""
    R = _matrix(R)
    return _mean((R[-1] - np.diagonal(R[1:]))[:-1])  # M5


def forward_transfer(R, baseline="init", chance=None):
    """FWT = (1/(T-1)) sum_{i>=2} (R[i-1, i] - b_i), in [-1, 1]; None for T = 1 (1706.08840).

    b: row 0 ("init"), the argument chance, one number or [T] ("chance"), or 0 ("none").
    """
    R = _matrix(R)
    b = {"init": R[0], "chance": chance, "none": 0.0}
    if baseline not in b or (baseline == "chance") != (chance is not None):
        need = "'init', 'none', or 'chance' together with a value for chance"
        raise ValueError(f"baseline is {baseline!r} and chance is {chance}; possible is {need}.")
    b = _vector("chance", b[baseline], R.shape[1])
    return _mean(np.diagonal(R[1:], offset=1) - b[1:])  # M6


def learning_accuracy(R):
    """LA = (1/T) sum_i R[i, i], a fraction in [0, 1]: plasticity (MER, 1810.11910)."""
    return _mean(np.diagonal(_matrix(R)[1:]))  # M7


def intransigence(R, joint):
    """I_k = a*_k - R[k, k], array [T] of fractions in [-1, 1] (Chaudhry et al., 1801.10112).

    joint[k] = a*_k is the accuracy on task k of a network trained on tasks 1..k together; if either is NaN,
    I_k is NaN.
    """
    R = _matrix(R)
    return _vector("joint", joint, R.shape[1]) - np.diagonal(R[1:])  # M8


def mean_intransigence(R, joint):
    """(1/T) sum_k I_k, a fraction in [-1, 1]; 0 is as plastic as joint training (1801.10112)."""
    return _mean(intransigence(R, joint))  # M8


def learning_curve_area(Z, beta=10):
    """LCA = (1/(beta+1)) sum_{b=0..beta} Z_b, a fraction in [0, 1] (A-GEM, 1812.00420).

    Z [beta + 1 or more]: Z_b is the accuracy on a task after b mini-batches of it, mean over tasks.
    """
    Z = np.asarray(Z, dtype=float)
    if beta < 0 or Z.ndim != 1 or len(Z) < beta + 1:
        raise ValueError(f"Z has shape {Z.shape}; needed are Z_0 to Z_beta for beta = {beta} >= 0.")
    return _mean(Z[: beta + 1])  # M9


def worst_accuracy(R):
    """min_j R[T, j], a fraction in [0, 1] (not min-ACC, 2205.13452, a minimum over steps)."""
    worst = float(np.min(_matrix(R)[-1]))  # M10
    return None if np.isnan(worst) else worst


def forgetting_ratio(R, joint, baseline):
    """rho = (1/T) sum_j ((R[T, j] - b_j) / (J_j - b_j) - 1); 0: no forgetting, -1: all forgotten.

    joint J [T]: accuracies of a network trained on all tasks together; baseline b, one number or
    [T]: a random classifier; fractions; None if some J_j = b_j. After HAT (1801.01423), but
    unverified: the formula is recalled, not checked against the paper.
    """
    R = _matrix(R)
    b = _vector("baseline", baseline, R.shape[1])
    gain = _vector("joint", joint, R.shape[1]) - b
    return _mean((R[-1] - b) / np.where(gain == 0, np.nan, gain) - 1)  # M11


def triangle_accuracy(R):
    """A = sum_{i>=j} R[i, j] / (T(T+1)/2), a fraction in [0, 1] (Diaz-Rodriguez, 1810.13166)."""
    R = _matrix(R)[1:]
    return _mean(R[np.tril_indices_from(R)])  # D1


def triangle_backward_transfer(R):
    """BWT = sum_{j<i} (R[i, j] - R[j, j]) / (T(T-1)/2), in [-1, 1]; 0 for T = 1 (1810.13166)."""
    R = _matrix(R)[1:]
    return 0.0 if len(R) == 1 else _mean((R - np.diagonal(R))[np.tril_indices_from(R, -1)])  # D2


def remembering(R):
    """REM = 1 - |min(BWT, 0)| with the triangle BWT, a fraction in [0, 1] (1810.13166)."""
    bwt = triangle_backward_transfer(R)
    return None if bwt is None else 1.0 - abs(min(bwt, 0.0))  # D2


def positive_backward_transfer(R):
    """BWT+ = max(BWT, 0) with the triangle BWT, a fraction in [0, 1] (1810.13166)."""
    bwt = triangle_backward_transfer(R)
    return None if bwt is None else max(bwt, 0.0)  # D2


def triangle_forward_transfer(R):
    """FWT = sum_{i<j} R[i, j] / (T(T-1)/2), in [0, 1], no baseline; None for T = 1 (1810.13166)."""
    R = _matrix(R)[1:]
    return _mean(R[np.triu_indices_from(R, 1)])  # D3


def model_size_efficiency(sizes):
    """MS = min(1, (1/T) sum_i sizes[1] / sizes[i]), a fraction in [0, 1] (1810.13166).

    sizes [T]: parameters kept after each task. A network that never grows scores 1, however large.
    """
    sizes = _positive("sizes", sizes)
    return min(1.0, _mean(sizes[0] / sizes))  # D4


def sample_storage_efficiency(stored, lifetime):
    """SSS = 1 - min(1, (1/T) sum_i stored[i] / lifetime), a fraction in [0, 1] (1810.13166).

    stored [T]: samples kept after each task; lifetime: samples of all tasks.
    """
    stored = _positive("stored", stored, or_zero=True)
    return 1.0 - min(1.0, _mean(stored / _positive("lifetime", lifetime)))  # D5


def computational_efficiency(ops_forward_backward, ops, eps=1):
    """CE = min(1, (1/T) sum_i OpsFB_i eps / Ops_i), a fraction in [0, 1] (1810.13166).

    ops [T]: mult-adds spent to learn task i; ops_forward_backward, one number or [T]: those of
    one pass over its data, forward and backward; eps rescales, e.g. by the number of epochs.
    """
    ops = _positive("ops", ops)
    once = _positive("ops_forward_backward", _vector("ops_forward_backward", ops_forward_backward, len(ops)))
    return min(1.0, _mean(once * _positive("eps", eps) / ops))  # D6


def cl_score(parts, weights=None):
    """CLscore = sum_k w_k c_k, a fraction in [0, 1]; weights equal by default (1810.13166).

    parts [K]: c = (A, REM, BWT+, FWT, MS, SSS, CE) in the paper; None if any part is None.
    """
    return _mean(parts, _convex(weights, len(parts)))  # D7


def cl_stability(parts_per_run, weights=None):
    """CLstability = 1 - sum_k w_k std(c_k), a fraction in [0, 1]; 1 is best (1810.13166).

    parts_per_run [runs, K]: the parts of CLscore for each run; std over runs, ddof = 0.
    """
    parts = np.asarray(parts_per_run, dtype=float)
    if parts.ndim != 2 or parts.size == 0:
        raise ValueError(f"parts_per_run has shape {parts.shape}; needed is [runs, parts].")
    spread = _mean(parts.std(axis=0), _convex(weights, parts.shape[1]))
    return None if spread is None else 1.0 - spread  # D7


_MEASURES = {
    average_accuracy: "mean accuracy over all tasks after the last one; 0 to 1, 1 is best",
    average_incremental_accuracy: "mean of the average accuracy after each task; 0 to 1, 1 is best",
    forgetting: "mean drop of old tasks from their earlier peak; -1 to 1, lower is better",
    peak_forgetting: "mean drop of old tasks from their peak at any time; 0 to 1, 0 is best",
    backward_transfer: "mean change of old tasks since learned; -1 to 1, below 0 is forgetting",
    forward_transfer: "mean gain over the untrained network before learning; -1 to 1, 1 is best",
    learning_accuracy: "mean accuracy on each task just after learning it; 0 to 1, 1 is best",
    worst_accuracy: "lowest accuracy of any task after the last one; 0 to 1, 1 is best",
    triangle_accuracy: "mean accuracy over all stages, each on the tasks so far; 0 to 1, 1 is best",
    triangle_backward_transfer: "mean change of old tasks at all stages; -1 to 1, 1 is best",
    remembering: "1 minus the loss in the triangle backward transfer; 0 to 1, 1 is best",
    positive_backward_transfer: "the gain in the triangle backward transfer; 0 to 1, 1 is best",
    triangle_forward_transfer: "mean accuracy on tasks not yet learned; 0 to 1, 1 is best",
}
DESCRIPTIONS = {measure.__name__: sentence for measure, sentence in _MEASURES.items()}
COSTS = {  # other numbers of a run
    "seconds": "training time of all tasks together, in seconds; lower is better",
    "parameters": "number of weights of the network; lower is better",
    "network_bytes": "bytes of the network's variables; lower is better",
    "method_bytes": "bytes of the method's own variables after the last task; lower is better",
    "memory_bytes": "bytes of the memory's rows or generator after the last task; lower is better",
    "memory_rows": "rows in the memory after the last task; lower is better",
    "model_size_efficiency": "1 if the model never grows (MS of Diaz-Rodriguez et al.); 0 to 1, 1 is best",
    "sample_storage_efficiency": "1 if no row is stored (SSS of Diaz-Rodriguez et al.); 0 to 1, 1 is best",
}
GENERATOR = {  # numbers of a generator, measured with --generator_quality; none is an accuracy of the network
    "oracle_on_fake": "generated images that a classifier of real ones gives their label; 0 to 1, 1 is best",
    "fake_to_real": "accuracy on real test images of a classifier of generated ones alone; 0 to 1, 1 is best",
    "oracle_accuracy": "the same of the classifier of real images, the oracle: what fake_to_real could reach",
    "generated_label_distance": "total variation of the oracle's labels from equal shares; 0 to 1, 0 is best",
    "generated_frechet_distance": "to real images, in features of the oracle, not of Inception; 0 is best",
    "real_frechet_distance": "the same of as many real test images: what the generated ones could reach",
    "nearest_image_ratio": "distance to the nearest training over the nearest test image; 0 is a copy",
    "real_image_ratio": "the same of real test images, each without itself: that of images not memorised",
}
LOWER_IS_BETTER = ("forgetting", "peak_forgetting", "seconds", "parameters", "network_bytes", "method_bytes")
LOWER_IS_BETTER += ("memory_bytes", "memory_rows", "generated_label_distance", "generated_frechet_distance")


def better(name):
    """Which values of a metric or a cost are better: "higher" or "lower"; None of any other number."""
    known = DESCRIPTIONS | COSTS | GENERATOR | anytime.DESCRIPTIONS
    other = name.startswith(("oracle_a", "real_", "near")) or name not in known
    return None if other else "lower" if name in LOWER_IS_BETTER else "higher"


def summary(R):
    """The metrics that need only R: dict of name -> float, or None if not measured."""
    return {measure.__name__: measure(R) for measure in _MEASURES}


def over_seeds(summaries):
    """Mean, std (ddof = 1) and sem = std / sqrt(n) of each metric over n runs.

    summaries: one dict per run. A metric that is None in every run is left out; one that is None in some has
    no mean, because a mean of the others would be over a subset. One run has no std.
    """
    if not summaries or any(s.keys() != summaries[0].keys() for s in summaries):
        raise ValueError("over_seeds needs at least one summary, and the same names in all.")
    n, result = len(summaries), {}
    for name in summaries[0]:
        values = np.array([s[name] for s in summaries], dtype=float)
        if np.isnan(values).all():
            continue
        mean = _mean(values)
        std = None if mean is None or n == 1 else float(values.std(ddof=1))
        result[name] = {"mean": mean, "std": std, "sem": None if std is None else std / n**0.5, "n": n}
    return result
