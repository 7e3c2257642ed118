"""Pages of methods, memories, networks, streams, regimes and augmentations, each made from its file."""

import ast
import functools

from docs.site import evidence, figures, prose
from docs.site.links import code
from keras_cl.errors import InputError
from keras_cl.settings import catalog, flags, library
from keras_cl.settings.config import SCENARIOS, own_options
from keras_cl.settings.library import AXES, LISTS
from keras_cl.settings.options import text
from results import tables

ROWS = 30  # more rows than these are those of a default, and not listed on its page
AXIS_TEXTS = {
    "method": "A method is how the weights are trained: `--method=<name>`.",
    "memory": "A memory is where rows of earlier tasks come from, stored or generated: `--memory=<name>`.",
    "network": "A network is what is trained: `--network=<name>`.",
    "stream": "A stream is how tasks are made from a data set: `--stream=<name>`.",
    "regime": "A regime is how the learning rate changes: `--regime=<name>`.",
    "augment": "An augmentation changes the images of every step at random: `--augment=<name>,<name>`.",
}
FOLDERS = AXES | LISTS


def pages():
    """`{page: Markdown}` of the pages of all choices, with links as from the top of the repository."""
    made = {}
    for axis, folder in FOLDERS.items():
        made[f"{folder}/index.md"] = index(axis)
        made |= {f"{folder}/{name}.md": page(axis, name) for name in library.names(axis)}
    return made


def index(axis):
    """The page of an axis: a table of its choices."""
    rows = []
    for name in library.names(axis):
        found = catalog.choice(axis, name)
        title = f"[{_name(found)}](keras_cl/{FOLDERS[axis]}/{name}.py)"
        scenarios = [", ".join(found.constants.get("scenarios", SCENARIOS))] if axis == "method" else []
        rows.append([f"`{name}`", title, prose.cell(_lead(found)), *scenarios])
    head = ["name", axis, "what it does", *(["scenarios"] if axis == "method" else [])]
    own = "One of your own is a file with a path: [extending](docs/extending.md)."
    if axis in LISTS:
        own = "One of your own is an object, given from Python: [augmentation](docs/axes.md#augmentation)."
    return f"# {_plural(axis)}\n\n{AXIS_TEXTS[axis]} {own}\n\n{_table(head, rows)}"


def _plural(axis):
    return AXES[axis].capitalize() if axis in AXES else "Augmentations"


def page(axis, name):
    """The page of one choice."""
    found = catalog.choice(axis, name)
    parts = [
        f"# {_title(found)}",
        _introduction(axis, found),
        _use(axis, found),
        _options(axis, found),
        _results(axis, found),
        "## Source { data-search-exclude }",
        f"`keras_cl/{FOLDERS[axis]}/{name}.py`:\n\n{code(_file(axis, name))}",
    ]
    return "\n\n".join(part for part in parts if part)


def _file(axis, name):
    return library.LIBRARY / library.folder(axis) / f"{name}.py"


def _name(found):
    """The name in the title of a file: what stands before the colon."""
    return found.title.partition(":")[0].rstrip(".")


def _title(found):
    """The name, and what it is called on the command line where that is something else."""
    name = _name(found)
    return name if name.lower().replace(" ", "_") == found.name else f"{name} ({found.name})"


def _lead(found):
    """What the title says after the name."""
    said = found.title.partition(":")[2].strip() or found.title
    return said[0].upper() + said[1:]


@functools.cache
def _documents(axis, name):
    """Paragraphs of the file and of what it defines."""
    module = ast.parse(_file(axis, name).read_text())
    symbol = catalog.choice(axis, name).symbol
    defined = next(n for n in module.body if getattr(n, "name", "") == symbol)
    return [prose.paragraphs(ast.get_docstring(node) or "") for node in (module, defined)]


def _introduction(axis, found):
    (_, *of_file), own = _documents(axis, found.name)
    papers = [block for block in of_file if "$$" not in block]
    formulas = [block for block in of_file if "$$" in block]
    if formulas and own and prose.is_formula(own[0]):
        own = own[1:]  # the same formula as plain text, for the command line
    parts = [_lead(found), *papers]
    if formulas:
        parts += ["## Equation", *formulas]
    if own:
        parts += ["## How it works", *own]
    return "\n\n".join(part if part.startswith("#") else prose.markdown(part) for part in parts)


# ---- how it is used --------------------------------------------------------------------------------------


def _use(axis, found):
    said = f"## Use\n\n```\n{command(axis, found.name)}\n```\n\nThe same with `--help` shows all flags."
    facts = (_facts(found) if axis == "method" else []) + _usual(found)
    return "\n\n".join([said, "\n".join(f"- {fact}" for fact in facts)] if facts else [said])


def command(axis, name):
    """A short command that uses a choice, with a method that is made for it if there is one."""
    base = f"python -m keras_cl.main --{axis}={name}"
    for method in [name] if axis == "method" else _methods_for(axis, name):
        given = base if axis == "method" else f"{base} --method={method}" if method else base
        able = catalog.choice("method", method).constants.get("scenarios", SCENARIOS) if method else ()
        for more in ("", *(f" --stream=split --scenario={scenario}" for scenario in able)):
            if _understood(given + more):
                return given + more
    raise AssertionError(f"no command of {axis} {name} is understood")


def _methods_for(axis, name):
    """Methods that bring a choice by themselves, none and thus the usual one, and those without tasks."""
    methods = [catalog.choice("method", method) for method in library.names("method")]
    made_for = [found.name for found in methods if found.constants.get("usual", {}).get(axis) == name]
    return [*made_for[:1], "", *(catalog.methods_without_tasks() if axis == "stream" else ())]


def _understood(said):
    try:
        flags.parse(["main", *said.split()[3:]])
    except InputError:
        return False
    return True


def _facts(found):
    constants = found.constants
    able = ", ".join(constants.get("scenarios", SCENARIOS))
    if forgets := ", ".join(constants.get("forgets_in", ())):
        able += f"; in {forgets} it is known to forget nearly everything"
    memories = catalog.possible_memories(found.name) if constants.get("memories") != () else []
    memory = ", ".join(f"[{name}](keras_cl/memories/{name}.py)" for name in memories)
    facts = [f"Scenarios: {able}.", f"Memories that it can have: {memory or 'none'}."]
    if constants.get("own_loss"):
        facts.append(f"Loss: its own; it {prose.cell(constants['own_loss'])}.")
    if constants.get("plain_sgd"):
        facts.append("Optimizer: plain SGD; others break its guarantee.")
    return facts


def _usual(found):
    usual = found.constants.get("usual", {})
    given = [f"`--{name}={text(value)}`" for name, value in usual.items()]
    return [f"Settings that it brings: {', '.join(given)}."] if given else []


def _options(axis, found):
    method = found.name if axis == "method" else "finetune"
    regime = found.name if axis == "regime" else "plain"
    options = own_options(axis, found.name, method, regime)
    if not options:
        return ""
    search = found.constants.get("search", {})
    rows = [
        [f"`{o.name}`", _kind(o), _default(o), prose.cell(o.help), _range(search.get(o.name))]
        for o in options
    ]
    head = ["option", "type", "default", "what it is", "searched by default"]
    if not any(row[-1] for row in rows):
        head, rows = head[:-1], [row[:-1] for row in rows]
    prefix = axis if axis in AXES else f"{axis}.{found.name}"
    flag = f"--{prefix}.{options[0].name}={text(options[0].default)}"
    python = f"keras_cl.{library.folder(axis).replace('/', '.')}.{found.symbol}"
    said = f"A flag each, as in `{flag}`; in Python keyword arguments of `{python}`."
    return f"## Options\n\n{said}\n\n{_wide(_table(head, rows))}"


def _default(option):
    return f"`{text(option.default)}`" if text(option.default) else ""


def _kind(option):
    if option.choices:
        return ", ".join(f"`{choice}`" for choice in option.choices)
    return f"{option.kind.__name__}, {option.kind.__name__}, ..." if option.many else option.kind.__name__


def _range(searched):
    if searched is None:
        return ""
    if isinstance(searched, tuple):
        return f"{searched[0]:g} to {searched[1]:g}, log scale"
    return ", ".join(map(text, searched))


# ---- what was measured -----------------------------------------------------------------------------------


def _results(axis, found):
    rows = evidence.rows(axis, found.name)
    if not rows:
        return ""
    if len(rows) > ROWS:
        return f"## Results\n\nIt is part of {len(rows)} rows of the [results](docs/results.md)."
    head = ["row", "stream", "average accuracy", "published", "reproduced", "forgetting"]
    lines = [line for row in rows for line in _lines(row)]
    said = (
        "Mean ± standard deviation over seeds; accuracy in percent. A row links to its command; "
        "[Results](docs/results.md) says how rows are compared."
    )
    figure = figures.of_choice(axis, found.name)
    return "\n\n".join(filter(None, ["## Results", said, figure, _wide(_table(head, lines))]))


def _lines(row):
    link = f"[{row.table}/{row.name}](results/{row.table}/{row.name}.flags)"
    if row.claims:
        compared = (map(prose.linked, tables.compared(row.table, claim)) for claim in row.claims)
        return [[link, row.stream, *cells] for cells in compared]
    numbers = [tables.spread(row.measured.get(key), digits) for key, digits in _NUMBERS]
    return [[link, row.stream, numbers[0], "-", "-", numbers[1]]]


_NUMBERS = (("average_accuracy", 1), ("forgetting", 3))


def _wide(table):
    """A table whose texts keep their width where the page is narrow: it is moved aside then."""
    return f'<div class="wide" markdown="1">\n\n{table}\n</div>'


def _table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
