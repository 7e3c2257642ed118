"""Writes the tables and numbers of the documentation from the result files; a test asserts that they agree.

    python -m results.tables

A table stands between `<!-- results: name -->` and `<!-- end -->`, a number of a row in a sentence between
`<!-- result: table/row metric -->` and `<!-- end -->`. Accuracies are in percent, others as in the file.
"""

import functools
import json
import os
import pathlib
import re

from absl import app

from keras_cl.errors import require
from keras_cl.report import plots
from keras_cl.settings import catalog, command, flags
from keras_cl.settings.config import SCENARIOS, SUPPLIED

HERE = pathlib.Path(__file__).parent
# Folders of rows beside what was published.
REPRODUCTIONS = sorted(file.parent.name for file in HERE.glob("*/published.json"))
DOCS = HERE.parent / "docs"
GAN_ROWS = ("joint", "dgma", "dgmw", "mergan-align", "mergan-joint", "dgr", "ewc_m")
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
    """The text of a page with every marked table and number made anew."""
    table = re.compile(r"(<!-- results: (\w+) -->\n).*?(<!-- end -->)", re.S)
    number = re.compile(r"(<!-- result: ([\w/-]+) (\w+) -->).*?(<!-- end -->)", re.S)
    text = table.sub(lambda found: found[1] + relative(TABLES[found[2]](), page) + found[3], page.read_text())
    return number.sub(lambda found: found[1] + value(found[2], found[3]) + found[4], text)


def relative(text, page):
    """Text whose links, which lead from the root of the repository, lead from a page."""

    def led(link):
        file, anchor, name = link[1].partition("#")
        return f"]({os.path.relpath(HERE.parent / file, page.parent)}{anchor}{name})"

    return re.sub(r"\]\((?!https?:)([^)]+)\)", led, text)


def value(row, metric):
    """A number of a row as text, with its spread over seeds: percent, a fraction or kB."""
    found = _read(row)
    require(found.get(metric) is not None, f"results/{row}.json has no {metric}.")
    if isinstance(found[metric], dict):
        return spread(found[metric], 1 if "accuracy" in metric else 3)
    return f"{found[metric] / 1000:,.0f}"


def reproductions():
    """How many rows of each table came out as published."""
    text = (DOCS / "results.md").read_text()
    rows = []
    for title, section in re.findall(r"^## ([^\n]*)\n(.*?)(?=^## |\Z)", text, re.M | re.S):
        for table in re.findall(r"<!-- results: (\w+) -->", section):
            if table not in REPRODUCTIONS:
                continue
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


def i_blurry_cifar100():
    """Methods on CIFAR-100 with blurry boundaries."""
    return _plain("i_blurry_cifar100", ("finetune", "er", "derpp", "gdumb"))


def cifar100_50_10():
    """Methods on CIFAR-100 in a task of 50 classes and five of 10."""
    return _plain("cifar100_50_10", ("finetune", "er", "derpp", "gdumb"))


def split_mnist_gan():
    """Methods with GANs on MNIST, two classes per task."""
    return _plain("split_mnist_gan", GAN_ROWS)


def permuted_mnist_gan():
    """Methods with GANs on permuted MNIST, ten new classes per task."""
    return _plain("permuted_mnist_gan", GAN_ROWS)


def generative():
    """Generators beside a memory of as many bytes, by the numbers of the reports on generative replay."""
    rows = []
    for row in ("replay-sublinear", "dgr", "generative_classifier", "gdumb"):
        measured = _read(f"generative/{row}")
        numbers = ("average_accuracy", 1), ("triangle_forward_transfer", 3), ("triangle_backward_transfer", 3)
        cells = [spread(measured[name], digits) for name, digits in numbers]
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
    """Microseconds a step with generated rows, of a GAN's turn, and seconds a task along a stream."""
    measured = _read("generators")
    times, tasks = measured["microseconds_a_step"], measured["seconds_a_task"]
    whole, *parts = times
    rows = [[name, f"{value:.0f}"] for name, value in times.items()]
    rows += [
        ["`dgr` to the sum of its parts", f"{times[whole] / sum(times[part] for part in parts):.2f} times"],
        [f"task {len(tasks)} to task 2", f"{tasks[-1] / tasks[1]:.2f} times"],
    ]
    gan = measured["gan"]["microseconds"]
    turn, critic, generator = gan.values()
    rows += [[name, f"{value:.0f}"] for name, value in gan.items()]
    apart = measured["gan"]["critic_steps"] * critic + generator
    rows += [["`gan` to the sum of its parts", f"{turn / apart:.2f} times"]]
    tasks = measured["gan"]["seconds_a_task"]
    rows += [[f"task {len(tasks)} to task 2, with a GAN", f"{tasks[-1] / tasks[1]:.2f} times"]]
    return _table(["step", "microseconds"], rows)


def generated_images():
    """How good the images of convolutional generators are."""
    names = ("oracle_on_fake", "fake_to_real", "oracle_accuracy")
    distances = ("generated_frechet_distance", "real_frechet_distance")
    table, rows = "cifar100_images", []
    for row in sorted(file.stem for file in (HERE / table).glob("*.json")):
        measured = _read(f"{table}/{row}")
        cells = [f"{100 * measured[name]:.1f}" for name in names]
        cells += [f"{measured[name]:.1f}" for name in distances]
        rows.append([_link(table, row), *cells, spread(measured["average_accuracy"], 1)])
    return _table(["command", *(f"`{name}`" for name in names + distances), "accuracy of the network"], rows)


def generated_digits():
    """How good images are after five classes and after ten, and the network that learned from them."""
    table, rows = "mnist_one_class_generators", []
    for row in ("mergan-joint", "mergan-joint-5000"):
        measured = _read(f"{table}/{row}")
        names = ("oracle_on_fake", "fake_to_real")
        curves = [measured[f"{name}_of_tasks_seen"] for name in names]
        curves.append(measured["accuracy_of_tasks_seen"]["mean"])
        cells = [f"{100 * curve[tasks - 1]:.1f}" for curve in curves for tasks in (5, 10)]
        rows.append([_link(table, row), *cells])
    measures = ("`oracle_on_fake`", "`fake_to_real`", "accuracy of the network")
    head = [f"{name}, {after}" for name in measures for after in ("after 5", "10")]
    return _table(["command", *head], rows)


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
    """The options that were found on validation data."""
    rows = []
    for file in sorted(HERE.glob("*/*.search.json")):
        found = json.loads(file.read_text())
        accuracies = found["validation_accuracy"].items()
        tried = ", ".join(f"{key} ({f'{100 * a:.1f}' if a else 'diverged'})" for key, a in accuracies)
        row = f"{file.parent.name}/{file.name.removesuffix('.search.json')}"
        rows.append(
            [f"`{row}`", f"`{found['option']}`", found["chosen"], tried, ", ".join(map(str, found["seeds"]))]
        )
    return _table(["row", "option", "chosen", "tried (validation accuracy)", "seeds"], rows)


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


def serving():
    """Milliseconds of a request, and images per second of many clients, beside direct calls."""
    measured = _read("serving")
    rows = []
    for workload, times in measured["milliseconds"].items():
        direct, rates = times["direct"][0], measured["images_per_second"][workload]
        rows.append(
            [
                workload,
                f"{direct:.2f}",
                *(f"{times[name][0] - direct:.2f}" for name in ("grpc", "rest")),
                *(f"{rates[name] / rates['direct']:.2f}" for name in ("grpc", "rest")),
                f"{rates['grpc'] / rates['direct, largest batch']:.2f}",
            ]
        )
    head = ["network, images in a request", "direct call, ms", "gRPC adds, ms", "REST adds, ms"]
    head += [f"{measured['clients']} clients, gRPC to direct", "REST to direct", "gRPC to the largest batch"]
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
            f"`er`, task 2 and task {len(tasks)} of a stream",
            f"{tasks[1]:.2f} s and {tasks[-1]:.2f} s",
            "-",
        ]
    )
    return _table(["step", "microseconds", "to finetune's"], rows)


def _beside(times, name):
    """A step beside finetune's on as many rows of the task."""
    alike = {"10": "finetune, 10 rows", "128": "finetune, 256 rows"}
    other = alike.get(name.split(", ")[1].split(" ")[0])
    return f"{times[name] / times[other]:.2f} ({other})" if other and other != name else "-"


def rows_read():
    """Rows a second of tasks in memory beside those that are read in chunks."""
    measured = _read("sources")["rows_a_second"]
    rows = []
    for work, said in (("batches", "chunks alone"), ("epoch", "epoch of training")):
        whole, chunks = (measured[f"{work}, {kind}"] for kind in ("in memory", "in chunks"))
        shares = [f"{part / one:.2f}" for part, one in zip(chunks, whole, strict=True)]
        rows.append([said, f"{whole[0]:,.0f}", f"{chunks[0]:,.0f}", *shares])
    return _table(["", "in memory", "in chunks", "to memory", "by processor time"], rows)


def convolutional_steps():
    """Steps of ResNet-18 beside PyTorch's, and the part that its convolutions take of them."""
    measured = _read("convolutions")["milliseconds_a_step"]
    kinds = list(next(iter(measured.values())))
    rows = [
        [name, *(f"{times[kind]:.1f}" for kind in kinds), *_beside_torch(times)]
        for name, times in measured.items()
    ]
    return _table(["step", *kinds, "to PyTorch at its best", "convolutions to it"], rows)


def _beside_torch(times):
    ours, convolutions, *theirs = times.values()
    return [f"{part / min(theirs):.2f}" for part in (ours, convolutions)]


def job():
    """The whole job beside its steps at the limit."""
    measured = _read("job")
    rows = [[name.replace("_", " "), str(value)] for name, value in measured.items() if name != "machine"]
    return _table(["measured", "value"], rows)


def method_list():
    """Every method file in a sentence."""
    names = catalog.names("method")
    rows = [
        [f"[`{name}`](keras_cl/methods/{name}.py)", catalog.choice("method", name).title] for name in names
    ]
    return _table(["method", "in a sentence"], rows)


def compare():
    """Runs a minute, side by side and one after the other."""
    measured = _read("compare")
    beside = measured["together_to"]
    rows = [[name, f"{n:.1f}", f"{beside.get(name, 1):.2f}"] for name, n in measured["runs_a_minute"].items()]
    *_, together = measured["runs_a_minute"]
    what = f"{measured['runs']} runs of {', '.join(measured['methods'])}"
    return _table([what, "runs a minute", f"{together}: times that"], rows)


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


def report_plots():
    """Every figure of a report, in its own words."""
    rows = [[f"`{name}`", plots.title(name), plots.description(name)] for name in plots.names()]
    return _table(["name", "figure", "what it shows"], rows)


def augmentations():
    """Every augmentation file, in its own words."""
    return _choices("augment")


def _choices(axis):
    rows = []
    for name in catalog.names(axis):
        found = catalog.choice(axis, name)
        file = f"keras_cl/{catalog.library.folder(axis)}/{name}.py"
        rows.append([f"[`{name}`]({file})", found.title, _options(axis, found)])
    return _table([{"augment": "augmentation"}.get(axis, axis), "in a sentence", "options"], rows)


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
        lines.append([f"`{row}`", *(spread(measured.get(name), digits) for name, digits in numbers)])
        lines[-1].append(_link(table, row))
    return _table(head, lines)


def _reproduction(table):
    """Rows of a table beside the published numbers, and whether they, and their order, are reproduced."""
    claims = _read(f"{table}/published")
    rows = [claim for claim in claims if "order" not in claim]
    earlier = sorted({int(tasks) for claim in rows for tasks in claim.get("after", {})})
    head = ["command", *(f"after {tasks} tasks" for tasks in earlier)]
    head += ["average accuracy", "published", "reproduced", "forgetting"]
    lines = [
        [_link(table, claim["row"]), *(after(table, claim, tasks) for tasks in earlier)]
        + compared(table, claim)
        for claim in rows
    ]
    orders = [f"\nPublished order {verdict(table, claim)}.\n" for claim in claims if "order" in claim]
    return _table(head, lines) + "".join(orders)


def after(table, claim, tasks):
    """Average accuracy after a number of tasks, of those tasks, beside the published one."""
    found = _read(f"{table}/{claim['row']}")["accuracy_of_tasks_seen"]
    published = claim.get("after", {}).get(str(tasks))
    beside = f" (published {published})" if published is not None else ""
    measured = {key: found[key] and found[key][tasks - 1] for key in ("mean", "std")}
    return spread(measured, 1) + beside


def compared(table, claim):
    """What a claim about a row is compared by: average accuracy, published, reproduced, forgetting."""
    measured = _read(f"{table}/{claim['row']}")
    published = f" ± {claim['spread']}" if claim.get("spread") else ""
    beside = f" (published {claim['forgetting']})" if "forgetting" in claim else ""
    return [
        spread(measured["average_accuracy"], 1),
        f"{claim['published']}{published} ({claim['source']})",
        verdict(table, claim),
        spread(measured.get("forgetting"), 3) + beside,
    ]


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


def spread(value, digits):
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
        method_list,
        methods,
        memories,
        networks,
        streams,
        regimes,
        augmentations,
        report_plots,
        digits,
        digits_split,
        digits_class,
        i_blurry_cifar100,
        cifar100_50_10,
        generative,
        generators,
        generative_steps,
        generated_images,
        generated_digits,
        split_mnist_gan,
        permuted_mnist_gan,
        convergence,
        regime_steps,
        searched,
        steps,
        method_steps,
        replay,
        rows_read,
        convolutional_steps,
        job,
        compare,
        choices,
        importance,
        curvature,
        serving,
    )
}


if __name__ == "__main__":
    app.run(main, flags_parser=command.parser(parse))
