"""Results of a run so far: one record for the untrained network and one per finished task."""

import numpy as np

from keras_cl import anytime, metrics

SIZES = {  # numbers of a summary that are the same for all seeds of a run
    "parameters",
    "network_bytes",
    "method_bytes",
    "memory_bytes",
    "memory_rows",
    "model_size_efficiency",
    "sample_storage_efficiency",
    "sizes",
    "equal_rows",
    "model_size_efficiency_on_use",
}


class Results:
    """Records of a run, oldest first; record 0 belongs to the untrained network.

    Args:
      records: list of dicts as made by `add`.
    """

    def __init__(self, records=()):
        self.records = list(records)

    def __len__(self):
        return len(self.records)

    @property
    def tasks(self):
        """Number of finished tasks."""
        return len(self.records) - 1

    @property
    def matrix(self):
        """The accuracy matrix `[tasks + 1, T]`, NaN if nothing could be measured."""
        return np.array([record["accuracies"] for record in self.records], float)

    @property
    def losses(self):
        """Mean cross entropy in nats of the test rows, `[tasks + 1, T]` as the matrix; NaN: not measured."""
        none = [None] * len(self.records[0]["accuracies"])
        return np.array([record.get("losses", none) for record in self.records], float)

    @property
    def confusion(self):
        """`(labels, counts [n, n])` of the test rows of all tasks after the last one, true class by predicted
        class; None before, and if it was not measured."""
        found = self.records[-1].get("confusion")
        return found and (found["labels"], np.array(found["counts"]))

    @property
    def class_accuracies(self):
        """For every record, `{index of a task: {label: accuracy}}`; empty if nothing was measured."""
        return [_with_numbers(record.get("class_accuracies", {})) for record in self.records]

    def up_to(self, tasks):
        """The results after `tasks` tasks."""
        return Results(self.records[: tasks + 1])

    def add(self, model, accuracies, rows=0, seconds=0.0, epochs=(), measures=None, row_bytes=0):
        """Appends and returns the record of a model in its current state.

        Args:
          model: a `ContinualModel`.
          accuracies: accuracy on every task, `[T]`.
          rows: number of training rows of the task.
          seconds: training time of the task.
          epochs: records of the epochs, see `EpochHistory`.
          measures: what else was measured, see `measures_of`.
          row_bytes: bytes of a stored row of the stream and its label; 0 if they are not known.
        """
        memory = () if model.memory is None else model.memory.variables
        kept = () if model.memory is None else model.memory.kept
        known = {id(variable) for variable in memory}
        own = [variable for variable in model.method_variables if id(variable) not in known]
        self.records.append(
            {
                "accuracies": plain(accuracies),
                **(measures or {}),
                "rows": rows,
                "seconds": seconds,
                "epochs": list(epochs),
                "parameters": number_of([v for v in model.network.variables if v.dtype.is_floating]),
                "network_bytes": size_in_bytes(model.network.variables),
                "method_bytes": size_in_bytes(own),
                "memory_bytes": size_in_bytes(kept),
                "memory_rows": 0 if model.memory is None else len(model.memory),
                "report": model.report() | ({} if model.memory is None else model.memory.report()),
            }
        )
        if model.memory is not None and model.memory.generates:
            self.records[-1] |= {
                "method_parameters": number_of([v for v in own if v.dtype.is_floating]),
                "generator_parameters": number_of([v for v in kept if v.dtype.is_floating]),
            }
            row_bytes = row_bytes or model.memory.row_bytes
        if row_bytes:
            self.records[-1]["row_bytes"] = row_bytes
        return self.records[-1]

    def metrics(self):
        """All metrics of the matrix, and of the accuracies at any time of a pass without tasks."""
        return {**metrics.summary(self.matrix), **self.anytime()}

    def anytime(self):
        """The metrics of `keras_cl.anytime`; {} if the run has tasks."""
        return anytime.summary([e for record in self.records for e in record.get("epochs", ())])

    def summary(self):
        """All metrics and the costs of the run: the content of summary.json."""
        return {**self.metrics(), **self.costs()}

    def costs(self):
        """Seconds, bytes of method state and memory, and stored rows after every task; parameters and bytes
        of the network; rows of as many bytes as all of these, if the bytes of a row are known; the
        efficiencies computed from them (MS, SSS); the report of the method."""
        learned = self.records[1:]
        generator = [record["memory_bytes"] * ("generator_parameters" in record) for record in learned]
        without = np.array([record["network_bytes"] + record["method_bytes"] for record in learned])
        sizes = without + generator
        rows = [record["memory_rows"] for record in learned]
        known = all("row_bytes" in record for record in learned)  # not in those of earlier versions
        return {
            "seconds": [record["seconds"] for record in learned],
            "parameters": learned[-1]["parameters"],
            "network_bytes": learned[-1]["network_bytes"],
            "method_bytes": [record["method_bytes"] for record in learned],
            "memory_bytes": [record["memory_bytes"] for record in learned],
            "memory_rows": rows,
            **({"equal_rows": [*map(equal_rows, learned)]} if known else {}),
            "model_size_efficiency": metrics.model_size_efficiency(sizes),
            "sample_storage_efficiency": metrics.sample_storage_efficiency(
                rows, sum(record["rows"] for record in learned)
            ),
            **{name: [record["report"][name] for record in learned] for name in learned[-1]["report"]},
            **_generator_costs(learned, [without[0], *sizes[1:]]),
        }

    def epochs(self):
        """Yields one dict per epoch: the content of metrics.csv; unmeasured accuracies are None."""
        width = len(self.records[0]["accuracies"])
        names = dict.fromkeys(name for record in self.records for epoch in record["epochs"] for name in epoch)
        for number, record in enumerate(self.records[1:], start=1):
            for epoch in record["epochs"]:
                measured = epoch.get("accuracies") or [None] * width
                yield {
                    "task": number,
                    **{name: epoch.get(name) for name in names if name != "accuracies"},
                    **{f"task_{j + 1}": value for j, value in enumerate(measured)},
                }

    def by_class(self):
        """Yields one dict per record, task and class: the content of class_accuracy.csv."""
        for number, record in enumerate(self.records):
            for task, classes in record.get("class_accuracies", {}).items():
                for label, accuracy in classes.items():
                    rows = record["class_rows"][task][label]
                    place = {"after_tasks": number, "task": int(task) + 1, "label": int(label)}
                    yield {**place, "rows": rows, "accuracy": round(accuracy, 6)}


def measures_of(evaluation, stream, last=False):
    """The entries of a record that an `Evaluation` gives besides the accuracies.

    Args:
      evaluation: an `Evaluation` on all tasks of the stream.
      stream: the `Stream`.
      last: whether all tasks are learned, so that there is a confusion matrix.
    """
    by_class = evaluation.by_class(stream)
    accuracies, rows = (
        {str(t): {str(k): value[part] for k, value in of.items()} for t, of in by_class.items()}
        for part in (0, 1)
    )
    found = {"losses": plain(evaluation.losses), "class_accuracies": accuracies, "class_rows": rows}
    if last and evaluation.pairs:
        labels, counts = evaluation.confusion(stream)
        found["confusion"] = {"labels": labels, "counts": counts.tolist()}
    return found


def _generator_costs(learned, sizes_on_use):
    """Sizes of network, generator and all, in parameters, MiB (2^20 bytes) and stored rows of the same size,
    and of the method's state if it is as large as a row; the labels of 2,000 generated rows after each task,
    and 1 where it had collapsed. Empty if there is no generator."""
    last = learned[-1]
    if "generator_parameters" not in last:
        return {}
    network = np.array([last["parameters"], last["network_bytes"]])
    method = np.array([last.get("method_parameters", 0), last["method_bytes"]])
    generator = np.array([last["generator_parameters"], last["memory_bytes"]])
    parts = {"network": network, "method": method, "generator": generator}
    parts["together"] = sum(parts.values())
    if last["method_bytes"] < last["row_bytes"]:  # counters
        del parts["method"]
    sizes = {
        name: {
            "parameters": int(count),
            "mib": round(size / 2**20, 2),
            "rows": round(size / last["row_bytes"]),
        }
        for name, (count, size) in parts.items()
    }
    return {
        "sizes": sizes,
        # Here the generator counts from the second task on, which is the first task that needs it.
        "model_size_efficiency_on_use": metrics.model_size_efficiency(sizes_on_use),
        "generated_labels": [record["generated_labels"] for record in learned],
        "generator_collapsed": [int(record.get("generator_collapsed", False)) for record in learned],
    }


def equal_rows(record):
    """Number of stored rows of the stream that take as many bytes as what is kept of a task: the network, the
    method's state, and the memory's rows or generator."""
    kept = sum(record[f"{part}_bytes"] for part in ("network", "method", "memory"))
    return round(kept / record["row_bytes"])


def mean_costs(summaries):
    """Costs of several runs with the same settings: sizes are equal in all runs, the others are means.

    Args:
      summaries: list of `Results.summary()`, one per run.
    """
    measured = metrics.DESCRIPTIONS | anytime.DESCRIPTIONS
    costs = [{k: v for k, v in one.items() if k not in measured} for one in summaries]
    names = [name for name in costs[0] if all(name in one for one in costs)]  # measured for all
    means = {name: np.mean([one[name] for one in costs], axis=0) for name in names if name not in SIZES}
    return {name: np.round(means[name], 3).tolist() if name in means else costs[0][name] for name in names}


def measures_over_seeds(results):
    """What `RunDirectory.write_measures` takes, of several runs with the same settings: mean losses and
    accuracies of classes, summed confusion matrices; only what every run has.

    Args:
      results: list of `Results` after the same number of tasks, one per run.
    """
    losses = np.mean([one.losses for one in results], axis=0)
    classes = [list(one.by_class()) for one in results]
    means = (
        [
            {**same[0], "accuracy": round(float(np.mean([one["accuracy"] for one in same])), 6)}
            for same in zip(*classes, strict=True)
        ]
        if all(classes)
        else []
    )
    found = [one.confusion for one in results]
    confusion = (found[0][0], sum(counts for _, counts in found)) if all(found) else None
    return losses, means, confusion


def plain(values):
    """A row of accuracies or losses for JSON: floats, None for what is not finite."""
    return [float(value) if np.isfinite(value) else None for value in values]


def _with_numbers(classes):
    return {int(t): {int(label): value for label, value in of.items()} for t, of in classes.items()}


def number_of(variables):
    """Total number of entries of variables."""
    return int(sum(np.prod(variable.shape) for variable in variables))


def size_in_bytes(variables):
    """Total size of variables in bytes; what is true or false is one bit."""
    bits = [1 if variable.dtype == bool else 8 * variable.dtype.size for variable in variables]
    return sum(-(-int(np.prod(v.shape)) * n // 8) for v, n in zip(variables, bits, strict=True))


def bytes_told(count):
    """A number of bytes as text, for example 1.5 MB (10^6 bytes)."""
    power = sum(count >= 999.5 * 1000**k for k in range(3))  # of the value rounded to three digits
    return f"{count / 1000**power:.3g} {('B', 'kB', 'MB', 'GB')[power]}"
