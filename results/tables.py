"""Writes the tables of the documentation from the result files; a test asserts that they agree.

    python -m results.tables

A table stands between `<!-- results: name -->` and `<!-- end -->`.
"""

import json
import pathlib
import re

from keras_cl import catalog, flags
from keras_cl.config import SCENARIOS

HERE = pathlib.Path(__file__).parent
PAGES = [HERE.parent / "README.md", HERE.parent / "docs" / "architecture.md"]


def main():
    for page in PAGES:
        page.write_text(filled(page.read_text()))


def filled(text):
    """`text` with every marked table made anew."""
    mark = re.compile(r"(<!-- results: (\w+) -->\n).*?(<!-- end -->)", re.S)
    return mark.sub(lambda found: found[1] + TABLES[found[2]]() + found[3], text)


def digits():
    """Finetune, EWC and the upper bounds on the default stream."""
    order = ("finetune", "ewc", "cumulative", "joint")
    head = ["method", "average accuracy", "forgetting", "accuracy just after learning", "command"]
    return _table(head, [_row(name, "digits", name) for name in order])


def split_mnist():
    """Three methods on split MNIST in the three scenarios."""
    head = ["scenario", "method", "average accuracy", "forgetting", "command"]
    rows = []
    for scenario in ("task", "domain", "class"):
        for method in ("finetune", "ewc", "joint"):
            name, accuracy, forgetting, _, command = _row(method, "split_mnist", f"{scenario}-{method}")
            rows.append([scenario, name, accuracy, forgetting, command])
    return _table(head, rows)


def permuted_mnist():
    """Three methods on permuted MNIST."""
    head = ["method", "average accuracy", "forgetting", "accuracy just after learning", "command"]
    return _table(head, [_row(name, "permuted_mnist", name) for name in ("finetune", "ewc", "joint")])


def steps():
    """Microseconds a step, and how they compare."""
    measured = _read("steps")["microseconds_a_step"]
    rows = []
    for workload, times in measured.items():
        ours, limit, keras = times["finetune, fit"], times["limit"], times["tf_keras, fit"]
        rows.append(
            [
                workload,
                *(f"{value:.0f}" for value in (limit, ours, keras)),
                f"{ours / limit:.2f}",
                f"{keras / ours:.1f}",
                f"{times['ewc, fit, 5 anchors'] / ours:.2f}",
            ]
        )
    head = [
        "network",
        "limit",
        "keras_cl",
        "tf_keras",
        "to the limit",
        "faster than tf_keras",
        "ewc to finetune",
    ]
    return _table(head, rows)


def choices():
    """What the design's choices cost and gain."""
    measured = _read("choices")
    rows = [
        [name, f"{value:.1f}", unit.replace("_", " ")]
        for unit in (
            "nanoseconds_a_random_number",
            "microseconds_to_permute_128_images",
            "microseconds_a_step",
        )
        for name, value in measured[unit].items()
    ]
    return _table(["", "measured", "unit"], rows)


def fisher():
    """Seconds of a Fisher pass, and in epochs."""
    seconds = _read("fisher")["seconds"]
    rows = [[name, f"{value:.2f}", f"{value / seconds['epoch']:.2f}"] for name, value in seconds.items()]
    return _table(["pass", "seconds", "epochs"], rows)


def job():
    """The whole job beside its steps at the limit."""
    measured = _read("job")
    rows = [[name.replace("_", " "), str(value)] for name, value in measured.items() if name != "machine"]
    return _table(["", ""], rows)


def methods():
    """Every method file, in its own words."""
    rows = []
    for name in catalog.names("method"):
        found = catalog.choice("method", name)
        able = ", ".join(found.constants.get("scenarios", SCENARIOS))
        rows.append([f"[`{name}`](keras_cl/methods/{name}.py)", found.title, able, _options(found)])
    return _table(["method", "in a sentence", "scenarios", "options"], rows)


def streams():
    """Every stream file, in its own words."""
    rows = []
    for name in catalog.names("stream"):
        found = catalog.choice("stream", name)
        rows.append([f"[`{name}`](keras_cl/streams/{name}.py)", found.title, _options(found)])
    return _table(["stream", "in a sentence", "options"], rows)


def _options(found):
    shared = {option.name for option in flags.main_options()}
    return ", ".join(f"`{option.name}`" for option in found.options if option.name not in shared)


TABLES = {
    "methods": methods,
    "streams": streams,
    "digits": digits,
    "split_mnist": split_mnist,
    "permuted_mnist": permuted_mnist,
    "steps": steps,
    "job": job,
    "choices": choices,
    "fisher": fisher,
}


def _read(name):
    return json.loads((HERE / f"{name}.json").read_text())


def _row(method, table, row):
    measured = _read(f"{table}/{row}")
    accuracy, forgetting, learning = (
        _spread(measured[name], digits)
        for name, digits in (("average_accuracy", 1), ("forgetting", 3), ("learning_accuracy", 1))
    )
    flags = (HERE / f"{table}/{row}.flags").name
    return [f"`{method}`", accuracy, forgetting, learning, f"[{flags}](results/{table}/{flags})"]


def _spread(value, digits):
    """Percent with one digit, or a fraction with three; the spread over seeds where there is one."""
    mean, std = value["mean"], value["std"]
    if mean is None:
        return "-"
    factor = 100 if digits == 1 else 1
    text = f"{factor * mean:.{digits}f}"
    return text if std is None else f"{text} ± {factor * std:.{digits}f}"


def _table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    main()
