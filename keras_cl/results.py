"""What a run has measured so far: one record for the untrained network and one for each finished task."""

import numpy as np

from keras_cl import metrics


class Results:
    """Records of a run, oldest first; record 0 belongs to the untrained network.

    Args:
      records: list of dicts as `record` makes them.
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
        """The accuracy matrix `[tasks + 1, T]`, NaN where nothing could be measured."""
        return np.array([record["accuracies"] for record in self.records], float)

    def up_to(self, tasks):
        """The results as they stood after `tasks` tasks."""
        return Results(self.records[: tasks + 1])

    def add(self, model, accuracies, rows=0, seconds=0.0, epochs=()):
        """Appends and returns the record of a model as it is now.

        Args:
          model: a `ContinualModel`.
          accuracies: on every task, `[T]`.
          rows: that the task has for training.
          seconds: spent on learning the task.
          epochs: list of dicts with epoch, loss, accuracy, seconds and perhaps accuracies.
        """
        memory = () if model.memory is None else model.memory.variables
        self.records.append(
            {
                "accuracies": plain(accuracies),
                "rows": rows,
                "seconds": seconds,
                "epochs": list(epochs),
                "parameters": model.network.count_params(),
                "network_bytes": size_in_bytes(model.network.variables),
                "method_bytes": size_in_bytes(model.method_variables) - size_in_bytes(memory),
                "memory_bytes": size_in_bytes(memory),
                "memory_rows": 0 if model.memory is None else len(model.memory),
                "report": model.report(),
            }
        )
        return self.records[-1]

    def summary(self):
        """Every number made of the matrix, and what the run cost: the content of summary.json."""
        return {**metrics.summary(self.matrix), **self.costs()}

    def costs(self):
        """Seconds, bytes of method state and of memory, and rows held by it after every task; parameters and
        bytes of the network; the efficiencies made of them (MS, SSS); what the method itself reports."""
        learned = self.records[1:]
        sizes = [record["network_bytes"] + record["method_bytes"] for record in learned]
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
        }

    def epochs(self):
        """One dict an epoch: the content of metrics.csv. Accuracies are there where they were measured."""
        width = len(self.records[0]["accuracies"])
        for number, record in enumerate(self.records[1:], start=1):
            for epoch in record["epochs"]:
                measured = epoch.get("accuracies") or [None] * width
                yield {
                    "task": number,
                    **{name: value for name, value in epoch.items() if name != "accuracies"},
                    **{f"task_{j + 1}": value for j, value in enumerate(measured)},
                }


def mean_costs(runs):
    """Costs of several `Results` of the same settings: sizes are the same in all, the others are means."""
    costs = [results.costs() for results in runs]
    varying = ("seconds", *runs[0].records[-1]["report"])
    means = {name: np.mean([one[name] for one in costs], axis=0) for name in varying}
    return {**costs[0], **{name: np.round(mean, 3).tolist() for name, mean in means.items()}}


def plain(accuracies):
    """A row of accuracies as JSON takes it: floats, None for NaN."""
    return [None if np.isnan(value) else float(value) for value in accuracies]


def size_in_bytes(variables):
    """Bytes that variables hold."""
    return int(sum(np.prod(variable.shape) * variable.dtype.size for variable in variables))
