"""Results of a run so far: one record for the untrained network and one per finished task."""

import numpy as np

from keras_cl import metrics

SIZES = {  # numbers of a summary that are the same for all seeds of a run
    "parameters",
    "network_bytes",
    "method_bytes",
    "memory_bytes",
    "memory_rows",
    "model_size_efficiency",
    "sample_storage_efficiency",
    "sizes",
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

    def up_to(self, tasks):
        """The results after `tasks` tasks."""
        return Results(self.records[: tasks + 1])

    def add(self, model, accuracies, rows=0, seconds=0.0, epochs=()):
        """Appends and returns the record of a model in its current state.

        Args:
          model: a `ContinualModel`.
          accuracies: accuracy on every task, `[T]`.
          rows: number of training rows of the task.
          seconds: training time of the task.
          epochs: records of the epochs, see `EpochHistory`.
        """
        memory = () if model.memory is None else model.memory.variables
        kept = () if model.memory is None else model.memory.kept
        known = {id(variable) for variable in memory}
        own = [variable for variable in model.method_variables if id(variable) not in known]
        self.records.append(
            {
                "accuracies": plain(accuracies),
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
                "generator_parameters": number_of(kept),
                "row_bytes": model.memory.row_bytes,
            }
        return self.records[-1]

    def summary(self):
        """All metrics of the matrix and the costs of the run: the content of summary.json."""
        return {**metrics.summary(self.matrix), **self.costs()}

    def costs(self):
        """Seconds, bytes of method state and memory, and stored rows after every task; parameters and bytes
        of the network; the efficiencies computed from them (MS, SSS); the report of the method."""
        learned = self.records[1:]
        generator = [record["memory_bytes"] * ("generator_parameters" in record) for record in learned]
        without = np.array([record["network_bytes"] + record["method_bytes"] for record in learned])
        sizes = without + generator
        rows = [record["memory_rows"] for record in learned]
        return {
            "seconds": [record["seconds"] for record in learned],
            "parameters": learned[-1]["parameters"],
            "network_bytes": learned[-1]["network_bytes"],
            "method_bytes": [record["method_bytes"] for record in learned],
            "memory_bytes": [record["memory_bytes"] for record in learned],
            "memory_rows": rows,
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


def _generator_costs(learned, sizes_on_use):
    """Sizes of network, generator and both, in parameters, MiB (2^20 bytes) and stored rows of the same size;
    the labels of 2,000 generated rows after each task. Empty if there is no generator."""
    last = learned[-1]
    if "generator_parameters" not in last:
        return {}
    network = np.array([last["parameters"], last["network_bytes"]])
    generator = np.array([last["generator_parameters"], last["memory_bytes"]])
    parts = {"network": network, "generator": generator, "together": network + generator}
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
    }


def mean_costs(summaries):
    """Costs of several runs with the same settings: sizes are equal in all runs, the others are means.

    Args:
      summaries: list of `Results.summary()`, one per run.
    """
    costs = [{k: v for k, v in one.items() if k not in metrics.DESCRIPTIONS} for one in summaries]
    means = {name: np.mean([one[name] for one in costs], axis=0) for name in costs[0].keys() - SIZES}
    return {name: np.round(means[name], 3).tolist() if name in means else costs[0][name] for name in costs[0]}


def plain(accuracies):
    """A row of accuracies for JSON: floats, None for NaN."""
    return [None if np.isnan(value) else float(value) for value in accuracies]


def number_of(variables):
    """Total number of entries of variables."""
    return int(sum(np.prod(variable.shape) for variable in variables))


def size_in_bytes(variables):
    """Total size of variables in bytes."""
    return int(sum(np.prod(variable.shape) * variable.dtype.size for variable in variables))
