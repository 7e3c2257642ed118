"""Values of the seeds of a group: which count, their mean and spread, and how that is said."""

import numpy as np


def shown(group):
    """The runs of a group that are in its figures: the finished ones, as in tables, or all if none is."""
    return group.finished or group.runs


def matrices(group):
    """Accuracy matrices `[S, T + 1, T]` of the runs that are shown."""
    return np.array([run.matrix for run in shown(group)])


def mean_and_std(values):
    """Mean and standard deviation (ddof 1) over the seeds of values `[S, ...]`; None for that of one seed.

    A mean over some of the seeds alone is none: it is NaN where a seed has no value.
    """
    values = np.asarray(values, float)
    return values.mean(axis=0), values.std(axis=0, ddof=1) if len(values) > 1 else None


def told(mean, std=None, unit="%", digits=1):
    """A value as text: "92.1 ± 0.3 %"."""
    spread = "" if std is None or not np.isfinite(std) else f" ± {std:.{digits}f}"
    return f"{mean:.{digits}f}{spread} {unit}".rstrip()


def counted(number, word):
    """A number of things: "1 seed", "5 seeds"."""
    return f"{number} {word}" + ("" if number == 1 else "s")


def listed(runs):
    """The seeds of runs: "seed 0", "seeds 0, 1"."""
    return f"seed{'s' * (len(runs) > 1)} {', '.join(str(run.seed) for run in runs)}"


def plain(text):
    """A text for matplotlib in which a dollar is a dollar, not the start of a formula."""
    return text.replace("$", r"\$")


def named(group, groups):
    """How a legend names a group: with its seeds, if numbers differ, and whether it is unfinished."""
    several = len({len(shown(one)) for one in groups}) > 1
    parts = [plain(group.label), *([counted(len(shown(group)), "seed")] if several else [])]
    return ", ".join(parts) + ("" if group.finished else " (unfinished)")
