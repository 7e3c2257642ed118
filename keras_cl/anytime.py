r"""Metrics of a pass without tasks, as pure functions of the accuracies measured at any time of it.

Koh et al. 2022 (i-Blurry, arXiv:2110.10031); Caccia et al. 2022 (arXiv:2104.05025); De Lange et al. 2023 (the
stability gap, arXiv:2205.13452).

There are K measurements, after n_1 < ... < n_K rows; a_k is the accuracy on the test rows of all classes
seen so far. The rows come in T phases; A[k, i] is the accuracy on the test rows of the classes of phase i;
the last row before measurement k is of phase p_k, from 1. NaN means not measured: a metric that needs such an
entry is None. Phases are known to who measures, never to who learns.
"""

import numpy as np

SEEN, PHASE, ROWS = "seen_accuracy", "phase", "rows"  # columns of metrics.csv, with phase_1 to phase_T
DESCRIPTIONS = {
    "anytime_area": "area under the accuracy over the rows seen, A_AUC; 0 to 1, 1 is best",
    "average_anytime": "mean over the measurements of the mean over the phases seen, AAA; 0 to 1, 1 is best",
    "lowest_anytime": "lowest accuracy of any measurement; 0 to 1, 1 is best",
    "final_anytime": "accuracy on all classes seen at the end of the pass; 0 to 1, 1 is best",
    "min_acc": "mean over earlier phases of the lowest accuracy since their end, min-ACC; 0 to 1, 1 is best",
    "worst_case": "final accuracy on the last phase traded off with min-ACC, WC-ACC; 0 to 1, 1 is best",
}


def anytime_area(rows, accuracies):
    """A_AUC = sum_k a_k (n_k - n_{k-1}) / n_K with n_0 = 0, a fraction in [0, 1] (Koh et al., 2110.10031).

    rows [K]: n, ascending; accuracies [K]: a. Between measurements the accuracy is the next one's, as in the
    paper, where all intervals are equally long; dividing by all rows makes it a mean.
    """
    a = _curve(accuracies)
    steps = np.diff(np.asarray(rows, float), prepend=0.0)
    if steps.shape != a.shape or not (steps > 0).all():
        raise ValueError(
            f"rows has shape {steps.shape}; needed are {len(a)} numbers, ascending from above 0."
        )
    return _number(np.sum(a * steps) / steps.sum())


def average_anytime(phases):
    """AAA = (1/K) sum_k mean_i A[k, i] over the phases i seen by then, in [0, 1] (Caccia et al., 2104.05025).

    phases [K, T]: A; NaN for a phase of which a class was not seen yet. None if nothing is seen at some k.
    """
    A = _table(phases)
    if np.isnan(A).all(axis=1).any():
        return None
    return _number(np.nanmean(A, axis=1).mean())


def lowest_anytime(accuracies):
    """min_k a_k, a fraction in [0, 1]."""
    return _number(_curve(accuracies).min())


def final_anytime(accuracies):
    """a_K, a fraction in [0, 1]."""
    return _number(_curve(accuracies)[-1])


def min_acc(phases, current):
    """min-ACC = (1/(T-1)) sum_{i<T} min A[k, i] over k with p_k > i, in [0, 1] (De Lange et al., 2205.13452).

    phases [K, T]: A; current [K]: p. None for T = 1, and if a phase is not measured after its end.
    """
    A, p = _table(phases), np.asarray(current)
    since = [A[p > i, i - 1] for i in range(1, A.shape[1])]
    if not since or not all(map(len, since)):
        return None
    return _number(np.mean([own.min() for own in since]))


def worst_case(phases, current):
    """WC-ACC = A[K, T] / T + (1 - 1/T) min-ACC, a fraction in [0, 1] (De Lange et al., 2205.13452).

    Arguments as of `min_acc`; the final accuracy on the only phase for T = 1.
    """
    A = _table(phases)
    T = A.shape[1]
    worst = 0.0 if T == 1 else min_acc(A, current)
    return None if worst is None else _number(A[-1, -1] / T + (1 - 1 / T) * worst)


def summary(records):
    """All of these metrics of the records of a pass, rows of metrics.csv as dicts; {} if nothing was measured
    at any time."""
    measured = [record for record in records if record.get(SEEN) is not None]
    if not measured:
        return {}
    rows, accuracies, current = ([record[name] for record in measured] for name in (ROWS, SEEN, PHASE))
    phases = [of_phases(record) for record in measured]
    return {
        "anytime_area": anytime_area(rows, accuracies),
        "average_anytime": average_anytime(phases),
        "lowest_anytime": lowest_anytime(accuracies),
        "final_anytime": final_anytime(accuracies),
        "min_acc": min_acc(phases, current),
        "worst_case": worst_case(phases, current),
    }


def of_phases(record):
    """Accuracies `[T]` on the phases in a record, NaN where there is none."""
    names = [name for name in record if name.startswith("phase_")]
    return np.array([record[name] for name in sorted(names, key=lambda name: int(name[6:]))], float)


def _curve(accuracies):
    a = np.asarray(accuracies, float)
    if a.ndim != 1 or not len(a):
        raise ValueError(f"accuracies has shape {a.shape}; needed is [K], of at least one measurement.")
    return a


def _table(phases):
    A = np.asarray(phases, float)
    if A.ndim != 2 or not A.size:
        raise ValueError(f"phases has shape {A.shape}; needed is [K, T], measurements by phases.")
    return A


def _number(value):
    return None if np.isnan(value) else float(value)
