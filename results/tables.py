"""Writes the tables of the documentation from the result files; a test asserts that they agree.

    python -m results.tables

A table stands between `<!-- results: name -->` and `<!-- end -->`.
"""

import functools
import json
import pathlib
import re

from absl import app

from keras_cl.errors import require
from keras_cl.settings import catalog, command, flags
from keras_cl.settings.config import SCENARIOS, SUPPLIED

HERE = pathlib.Path(__file__).parent
# Folders of rows beside what was published.
REPRODUCTIONS = sorted(file.parent.name for file in HERE.glob("*/published.json"))
DOCS = HERE.parent / "docs"
PAGES = [HERE.parent / "README.md", *sorted(DOCS.glob("*.md"))]


def parse(argv):
    """Accepts a command line without arguments; prints help and exits if it has a help flag."""
    _, rest = flags.read_own(argv, __doc__ or "")
    require(not rest, f"{' '.join(rest)!r} is not understood; results.tables takes no arguments.")


def main(argv):
    del argv
    for page in PAGES:
        page.write_text(filled(page))


def filled(page):
    """The text of a page with every marked table made anew."""
    mark = re.compile(r"(<!-- results: (\w+) -->\n).*?(<!-- end -->)", re.S)
    root = "../" if page.parent == DOCS else ""

    def made(found):
        return found[1] + TABLES[found[2]]().replace("](results/", f"]({root}results/") + found[3]

    return mark.sub(made, page.read_text())


def reproductions():
    """How many rows of each table came out as published."""
    text = (DOCS / "results.md").read_text()
    rows = []
    for title, table in re.findall(r"^## ([^\n]*)\n(?:(?!^## ).*\n)*?<!-- results: (\w+) -->", text, re.M):
        if table in REPRODUCTIONS:
            claims = _read(f"{table}/published")
            found = [reproduced(table, claim) for claim in claims if "row" in claim]
            anchor = re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
            counts = [str(sum(verdict is kind for verdict in found)) for kind in (True, False, None)]
            rows.append([f"[{title}](docs/results.md#{anchor})", str(len(found)), *counts])
    return _table(["benchmark", "rows", "as published", "not", "not to be compared"], rows)


def digits():
    """Methods and bounds on the default stream."""
    names = ("finetune", "l2", "ewc", "mas", "si", "rwalk", "scp", "cumulative", "joint")
    return _plain("digits", names)


def digits_split():
    """Methods that need to know the task, or gain from it, on split digits."""
    return _plain("digits_split", ("finetune", "lwf", "hat", "joint"))


def digits_class():
    """Methods that keep rows, on split digits where every class seen may answer."""
    names = ("finetune", "er", "agem", "gem", "der", "derpp", "icarl", "gdumb", "joint")
    return _plain("digits_class", names)


def generative():
    """Generators beside a memory of as many bytes, by the numbers of the reports on generative replay."""
    rows = []
    for row in ("replay-sublinear", "dgr", "generative_classifier", "gdumb"):
        measured = _read(f"generative/{row}")
        numbers = ("average_accuracy", 1), ("triangle_forward_transfer", 3), ("triangle_backward_transfer", 3)
        cells = [_spread(measured[name], digits) for name, digits in numbers]
        cells += [
            f"{measured[name]:.3f}" for name in ("model_size_efficiency", "model_size_efficiency_on_use")
        ]
        rows.append([_link("generative", row), *cells, f"{measured['kept_bytes'] / 2**20:.2f}"])
    transfer = ("forward transfer", "backward transfer", "MS", "MS, generator from task 2 on", "MiB kept")
    head = ["command", "average accuracy", *transfer]
    return _table(head, rows)


def generators():
    """Parameters and bytes of the networks of the two reports on generative replay."""
    rows = []
    for row in ("replay-sublinear", "dgr"):
        sizes = _read(f"generative/{row}")["sizes"]
        rows += [
            [_link("generative", row) if name == "network" else "", name, f"{size['parameters']:,}"]
            + [f"{size['mib']:.2f}", f"{size['rows']:,}"]
            for name, size in sizes.items()
        ]
    return _table(["command", "", "parameters", "MiB", "stored images of as many bytes"], rows)


def generative_steps():
    """Microseconds a step with generated rows, and seconds a task along a stream."""
    measured = _read("generators")
    times, tasks = measured["microseconds_a_step"], measured["seconds_a_task"]
    whole, *parts = times
    rows = [[name, f"{value:.0f}"] for name, value in times.items()]
    rows += [
        ["`dgr` to the sum of its parts", f"{times[whole] / sum(times[part] for part in parts):.2f}"],
        [f"task {len(tasks)} to task 2, seconds", f"{tasks[-1] / tasks[1]:.2f}"],
    ]
    return _table(["step", "microseconds"], rows)


def convergence():
    """Steps to a given accuracy on a new task under each schedule."""
    rows = []
    for name, found in _read("convergence")["schedules"].items():
        first, *later = found["steps"]["mean"]
        steps = [f"{first:.0f}", f"{sum(later) / len(later):.0f}", str(found["missed"])]
        accuracies = [f"{100 * found[key]:.1f}" for key in ("learning_accuracy", "average_accuracy")]
        rows.append([f"`{name}`", *steps, *accuracies, f"{found['drop']:.3f}"])
    steps = ["steps to 90 percent, task 1", "later tasks", "tasks that never came there"]
    return _table(["schedule", *steps, "just after learning", "at the end", "drop from the peak"], rows)


def regime_steps():
    """Microseconds a step under schedules, and a long stream of small batches beside its steps."""
    measured = _read("regimes")
    times = measured["microseconds_a_step"]
    rows = [[name, f"{value:.0f}", f"{value / times['constant']:.2f}"] for name, value in times.items()]
    job, limit = measured["seconds"], measured["seconds_of_steps_at_the_limit"]
    rows.append([f"the whole job, {job:.0f} s for {limit:.0f} s at the limit", "-", f"{job / limit:.2f}"])
    passes = measured["seconds_of_evaluation_at_the_limit"]
    both = f"the same for these and {passes:.0f} s of evaluation at the limit"
    rows.append([both, "-", f"{job / (limit + passes):.2f}"])
    return _table(["step", "microseconds", "to a constant rate; the job to the limit"], rows)


def searched():
    """The strengths that were found on validation data."""
    rows = []
    for file in sorted(HERE.glob("*/*.search.json")):
        found = json.loads(file.read_text())
        accuracies = found["validation_accuracy"].items()
        tried = ", ".join(f"{key} ({f'{100 * a:.1f}' if a else 'diverged'})" for key, a in accuracies)
        row = f"{file.parent.name}/{file.name.removesuffix('.search.json')}"
        rows.append([f"`{row}`", found["chosen"], tried, ", ".join(map(str, found["seeds"]))])
    return _table(["row", "chosen", "tried (validation accuracy)", "seeds"], rows)


def steps():
    """Microseconds a step, and how they compare."""
    measured = _read("steps")["microseconds_a_step"]
    rows = []
    for workload, times in measured.items():
        ours, limit, keras = times["finetune, fit"], times["limit"], times["tf_keras, fit"]
        grouped = times.get("tf_keras, fit, 100 steps a call")  # not in measurements of before
        rows.append(
            [
                workload,
                *(f"{value:.0f}" for value in (limit, ours, keras)),
                f"{grouped:.0f}" if grouped else "-",
                f"{ours / limit:.2f}",
                f"{keras / ours:.1f}",
                f"{grouped / ours:.1f}" if grouped else "-",
                f"{times['ewc, fit, 5 anchors'] / ours:.2f}",
            ]
        )
    head = [
        "network",
        "limit",
        "keras_cl",
        "tf_keras",
        "tf_keras, 100 steps per call",
        "to the limit",
        "faster than tf_keras",
        "than with 100 steps per call",
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


def importance():
    """Seconds of the importance passes, and in epochs."""
    seconds = _read("importance")["seconds"]
    rows = [[name, f"{value:.2f}", f"{value / seconds['epoch']:.2f}"] for name, value in seconds.items()]
    return _table(["pass", "seconds", "epochs"], rows)


def curvature():
    """Milliseconds of products with the Hessian, and in gradients."""
    times = _read("curvature")["milliseconds"]
    rows = [[name, f"{value:.1f}", f"{value / times['gradient']:.2f}"] for name, value in times.items()]
    return _table(["", "milliseconds", "gradients"], rows)


def method_steps():
    """Microseconds a step of every method, and beside fine-tuning."""
    times = _read("methods")["microseconds_a_step"]
    rows = [
        [f"`{name}`", f"{value:.0f}", f"{value / times['finetune']:.2f}"] for name, value in times.items()
    ]
    return _table(["method", "microseconds a step", "to finetune"], rows)


def replay():
    """Microseconds a step with replayed rows, and seconds a task along a stream."""
    measured = _read("replay")
    times, tasks = measured["microseconds_a_step"], measured["seconds_a_task"]
    rows = [[name, f"{value:.0f}", _beside(times, name)] for name, value in times.items()]
    rows.append(
        [
            f"`er`, seconds for task 2 and task {len(tasks)} of a stream",
            *map("{:.2f}".format, (tasks[1], tasks[-1])),
        ]
    )
    return _table(["step", "microseconds", "to finetune's"], rows)


def _beside(times, name):
    """A step beside finetune's on as many rows of the task."""
    alike = {"10": "finetune, 10 rows", "128": "finetune, 256 rows"}
    other = alike.get(name.split(", ")[1].split(" ")[0])
    return f"{times[name] / times[other]:.2f} ({other})" if other and other != name else "-"


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
        options = _options("method", found)
        rows.append([f"[`{name}`](keras_cl/methods/{name}.py)", found.title, able, options])
    return _table(["method", "in a sentence", "scenarios", "options"], rows)


def memories():
    """Every memory file, in its own words."""
    return _choices("memory")


def networks():
    """Every network file, in its own words."""
    return _choices("network")


def regimes():
    """Every regime file, in its own words."""
    return _choices("regime")


def streams():
    """Every stream file, in its own words."""
    return _choices("stream")


def _choices(axis):
    rows = []
    for name in catalog.names(axis):
        found = catalog.choice(axis, name)
        file = f"keras_cl/{catalog.AXES[axis]}/{name}.py"
        rows.append([f"[`{name}`]({file})", found.title, _options(axis, found)])
    return _table([axis, "in a sentence", "options"], rows)


def _options(axis, found):
    supplied = SUPPLIED.get(axis, {option.name for option in flags.main_options()})
    return ", ".join(f"`{option.name}`" for option in found.options if option.name not in supplied)


def _read(name):
    return json.loads((HERE / f"{name}.json").read_text())


def _plain(table, rows):
    """Rows of a table that has no published counterpart."""
    head = ["method", "average accuracy", "forgetting", "accuracy just after learning", "command"]
    lines = []
    for row in rows:
        measured = _read(f"{table}/{row}")
        numbers = zip(("average_accuracy", "forgetting", "learning_accuracy"), (1, 3, 1), strict=True)
        lines.append([f"`{row}`", *(_spread(measured.get(name), digits) for name, digits in numbers)])
        lines[-1].append(_link(table, row))
    return _table(head, lines)


def _reproduction(table):
    """Rows of a table beside the published numbers, and whether they, and their order, are reproduced."""
    claims = _read(f"{table}/published")
    rows = []
    for claim in claims:
        if "order" in claim:
            continue
        measured = _read(f"{table}/{claim['row']}")
        spread = f" ± {claim['spread']}" if claim.get("spread") else ""
        beside = f" (published {claim['forgetting']})" if "forgetting" in claim else ""
        rows.append(
            [
                _link(table, claim["row"]),
                _spread(measured["average_accuracy"], 1),
                f"{claim['published']}{spread} ({claim['source']})",
                verdict(table, claim),
                _spread(measured.get("forgetting"), 3) + beside,
            ]
        )
    head = ["command", "average accuracy", "published", "reproduced", "forgetting"]
    orders = [f"\nPublished order {verdict(table, claim)}.\n" for claim in claims if "order" in claim]
    return _table(head, rows) + "".join(orders)


def reproduced(table, claim):
    """Whether a claim holds: a row within its tolerance, between two ends, or far enough above another one,
    or an order. Where forgetting is published, it must be within the same tolerance.

    None where the published number belongs to another setting.
    """

    def ours(row):
        return 100 * _read(f"{table}/{row}")["average_accuracy"]["mean"]

    if "order" in claim:
        found = list(map(ours, claim["order"]))
        return found == sorted(found, reverse=True)
    if "above" in claim:
        return ours(claim["row"]) - ours(claim["above"]) >= claim["by"]
    if "within" in claim:
        low, high = claim["within"]
        return low <= ours(claim["row"]) <= high
    if "tolerance" in claim:
        close = abs(ours(claim["row"]) - claim["published"]) <= claim["tolerance"]
        return close and forgets_as_published(table, claim)
    return None


def forgets_as_published(table, claim):
    """Whether the forgetting of a row is within as many points as its accuracy; true if none is published."""
    if "forgetting" not in claim:
        return True
    forgetting = _read(f"{table}/{claim['row']}")["forgetting"]["mean"]
    return 100 * abs(forgetting - claim["forgetting"]) <= claim["tolerance"]


def verdict(table, claim):
    """What the table says about a claim: yes or no, by what measure, and why not."""
    holds = reproduced(table, claim)
    if holds is None:
        return f"not compared: {claim['why']}"
    if "order" in claim:
        said = f"`{' > '.join(claim['order'])}`: {'yes' if holds else 'no'}"
    else:
        measure = _measure(claim)
        said = f"yes, {measure}" if holds else f"no, not {measure}"
    return said if holds else f"{said}: {claim['why']}"


def _measure(claim):
    """By what a row is compared with its claim."""
    if "above" in claim:
        return f"{claim['by']:g} above `{claim['above']}`"
    if "within" in claim:
        return "within {} to {}".format(*claim["within"])
    return f"within {claim['tolerance']:g}{' in accuracy and forgetting' if 'forgetting' in claim else ''}"


def _link(table, row):
    return f"[{row}](results/{table}/{row}.flags)"


def _spread(value, digits):
    """Percent with one digit, or a fraction with three; the spread over seeds where there is one."""
    if not value or value["mean"] is None:
        return "-"
    mean, std = value["mean"], value["std"]
    factor = 100 if digits == 1 else 1
    text = f"{factor * mean:.{digits}f}"
    return text if std is None else f"{text} ± {factor * std:.{digits}f}"


def _table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


TABLES = {name: functools.partial(_reproduction, name) for name in REPRODUCTIONS} | {
    table.__name__: table
    for table in (
        reproductions,
        methods,
        memories,
        networks,
        streams,
        regimes,
        digits,
        digits_split,
        digits_class,
        generative,
        generators,
        generative_steps,
        convergence,
        regime_steps,
        searched,
        steps,
        method_steps,
        replay,
        job,
        choices,
        importance,
        curvature,
    )
}


if __name__ == "__main__":
    app.run(main, flags_parser=command.parser(parse))
