"""Random damage, from fixed seeds: whatever a user gives is used or refused in one sentence."""

import collections
import io
import json
import random
import time
import warnings
import zipfile

import numpy as np
import pytest

from keras_cl.check import __main__ as laws
from keras_cl.compare import flags as compare_flags
from keras_cl.compare.program import Comparison
from keras_cl.errors import InputError
from keras_cl.settings import catalog, flags
from keras_cl.settings.build import make_model, make_stream
from keras_cl.settings.config import own_options
from keras_cl.sources import npz
from tuning import settings as search_settings
from tuning.journal import Journal

pytestmark = pytest.mark.slow

SECONDS = 20  # of each test
SEED = 20

STRANGE = (
    *(
        "",
        " ",
        ",",
        ",,",
        "1,,2",
        ";",
        ":",
        "x",
        "é",
        "\0",
        "\n",
        "a\0b",
        "%s",
        "{0}",
        "~",
        "/",
        "..",
        "None",
    ),
    *("nan", "inf", "-inf", "1e400", "1e-400", "-0.0", "1e20", "-1", "0", "-1.5", "0.5", "2", "1_0", "0x10"),
    *("99999999999999999999", "2147483648", "-2147483649", "9" * 5000, "300000,300000", "nan,nan", "true"),
    *("auto", "path/to/nothing.npz", "path/to/nothing.py", "no.such.module", "no.such:thing", "1:2", "9:1"),
)


def outcomes(attempt, make, seconds=SECONDS):
    """Counts of attempts on random input, by what happened: "used", "refused", or what should not happen."""
    rng, found, end = random.Random(SEED), collections.Counter(), time.monotonic() + seconds
    examples = {}
    while time.monotonic() < end:
        given = make(rng)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", ResourceWarning)
                attempt(given)
            kind = "used"
        except InputError as error:
            said = str(error)
            whole = said.endswith((".", "?")) and said.isprintable() and len(said) < 2000
            kind = "refused" if whole else f"no sentence: {said!r:.300}"
        except Exception as error:
            kind = f"{type(error).__name__}: {error!s:.120}"
        found[kind] += 1
        examples.setdefault(kind, given)
    return {kind: (count, examples[kind]) for kind, count in found.items()}


def require_only_uses_and_refusals(found):
    bad = {kind: example for kind, example in found.items() if kind not in ("used", "refused")}
    assert not bad, "\n".join(f"{kind}  <- {given!r:.200}" for kind, (_, given) in bad.items())
    assert {"used", "refused"} <= set(found), found  # both were tried


# ---- flags -----------------------------------------------------------------------------------------------


def command_line(rng):
    """A short command line with one or two strange values, or a damaged flag."""
    chosen = {axis: rng.choice(catalog.names(axis)) for axis in catalog.AXES if axis != "memory"}
    given = [f"--{axis}={name}" for axis, name in chosen.items() if rng.random() < 0.5 or axis == "method"]
    says = chosen["method"], "plain"
    own = [f"{axis}.{o.name}" for axis, name in chosen.items() for o in own_options(axis, name, *says)]
    shared = [option.name for option in flags.main_options()]
    for _ in range(rng.randint(1, 2)):
        name = rng.choice(rng.choice([own, shared]))
        argument = f"--{name}={rng.choice(STRANGE)}"
        if rng.random() < 0.1:
            place = rng.randrange(len(argument))
            argument = argument[:place] + rng.choice("-=.,\0 é") + argument[place + rng.randint(0, 1) :]
        given.append(argument)
    return given


def test_strange_flags_are_used_or_refused():
    def attempt(given):
        config = flags.parse(["main", *given])
        json.dumps(config.settings, allow_nan=False)
        assert config.name and config.directory

    require_only_uses_and_refusals(outcomes(attempt, command_line))


def comparison(rng):
    """The command line of a comparison, with lists and sweeps, some of them damaged."""
    given = []
    for argument in command_line(rng):
        name, _, text = argument.partition("=")
        other = rng.choice([text, *STRANGE, *catalog.names("method")])
        if rng.random() < 0.4:
            argument = f"--sweep.{name[2:]}={text}{rng.choice(',;')}{other}"
        elif name[2:] in ("method", "stream", "network", "regime") and rng.random() < 0.7:
            argument = f"{name}s={text},{other}"
        given.append(argument)
    return [*given, *(["--skip_impossible"] if rng.random() < 0.5 else [])]


def test_strange_comparisons_are_used_or_refused():
    def attempt(given):
        made = Comparison.of(compare_flags.parse(["compare", *given]))
        assert len({cell.label for cell in made.cells}) == len(made.cells) > 0

    require_only_uses_and_refusals(outcomes(attempt, comparison))


CSV = 'method,epochs,method.strength,seeds\newc,3,10,"0,1"\nfinetune,,,2\n'
TOML = '[[run]]\nmethod = "ewc"\n"method.strength" = 10\n\n[[run]]\nseeds = [1, 2]\nstream.seed = 3\n'


@pytest.mark.parametrize(("name", "text"), [("runs.csv", CSV), ("runs.toml", TOML)])
def test_damaged_files_of_runs_are_used_or_refused(tmp_path, name, text):
    file = tmp_path / name

    def damaged(rng):
        content = text
        for _ in range(rng.randint(0, 2)):
            place = rng.randrange(len(content))
            content = content[:place] + rng.choice(STRANGE) + content[place + rng.randint(0, 3) :]
        return content.encode(errors="replace")[: rng.choice([10_000, rng.randrange(1, 90)])]

    def attempt(content):
        file.write_bytes(content)
        assert Comparison.of(compare_flags.parse(["compare", f"--runs={file}"])).cells

    require_only_uses_and_refusals(outcomes(attempt, damaged))


def test_strange_options_are_refused_before_training():
    """As the test above, and the stream and the model are made."""

    def attempt(given):
        config = flags.parse(["main", "--network.hidden=8", *given])
        make_model(config, make_stream(config), config.seeds[0])

    require_only_uses_and_refusals(outcomes(attempt, command_line))


def test_strange_flags_of_a_search_are_used_or_refused():
    own = [option.name for option in search_settings.own_flags()]

    def make(rng):
        mine = [f"--{rng.choice(own)}={rng.choice(STRANGE)}" for _ in range(rng.randint(1, 2))]
        ranged = [f"--search.learning_rate={rng.choice(STRANGE)}"] * rng.randrange(2)
        return [*command_line(rng)[: rng.randrange(3)], *mine, *ranged]

    def attempt(given):
        search = search_settings.parse(["search", *given])
        json.dumps(search.settings, allow_nan=False)
        assert search.space and search.directory

    require_only_uses_and_refusals(outcomes(attempt, make))


def test_strange_flags_of_the_laws_are_used_or_refused():
    require_only_uses_and_refusals(outcomes(lambda given: laws.parse(["check", *given]), command_line, 10))


# ---- files -----------------------------------------------------------------------------------------------


def arrays(compressed, dtype):
    """The bytes of a small .npz file."""
    x = np.random.default_rng(0).integers(0, 255, (6, 3, 3)).astype(dtype)
    y, file = np.arange(6) % 3, io.BytesIO()
    save = np.savez_compressed if compressed else np.savez
    save(file, x_train=x, y_train=y, x_test=x, y_test=y)
    return file.getvalue()


FILES = [arrays(compressed, dtype) for compressed in (False, True) for dtype in (np.uint8, np.float32)]
PARTS = (b"(6,", b"'descr'", b"False", b"6", b"3", b"<i8", b"|u1", b"<f4", b"NUMPY", b"\x01\x00", b"}", b",")
OTHERS = (
    *(b"(0,", b"(-1,", b"(99999999999999,", b"(True,", b"('a',", b"|O", b"<M8", b"|V8", b"<f2", b"<c8"),
    *(b"|S1", b"<U9", b">i8", b"|b1", b"", b"\0", b"None", b"[('a','<i4')]", b"9" * 400, b"((((", b"\xff"),
)


def header_edited(data, rng):
    """An .npz file with another text in the header of one array."""
    whole, edited = zipfile.ZipFile(io.BytesIO(data)), io.BytesIO()
    target = rng.choice(whole.namelist())
    with zipfile.ZipFile(edited, "w") as file:
        for name in whole.namelist():
            content = whole.read(name)
            if name == target:
                content = content.replace(rng.choice(PARTS), rng.choice(OTHERS), 1)
            file.writestr(name, content)
    return edited.getvalue()


def damaged(data, rng):
    """Bytes with some flipped, cut off, removed, inserted, or changed in zip's own records."""
    data, how = bytearray(data), rng.randrange(5)
    place = rng.randrange(len(data))
    if how == 0:
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif how == 1:
        del data[place:]
    elif how == 2:
        del data[place : place + rng.randint(1, 60)]
    elif how == 3:
        data[place:place] = rng.randbytes(rng.randint(1, 40))
    else:
        records = [at for at in range(len(data) - 46) if data[at : at + 2] == b"PK"]
        place = rng.choice(records) + rng.randrange(4, 46) if records else place
        data[place] = rng.randrange(256)
    return bytes(data)


def test_damaged_npz_files_are_read_or_refused(tmp_path):
    path = tmp_path / "data.npz"

    def make(rng):
        data = rng.choice(FILES)
        return header_edited(data, rng) if rng.random() < 0.3 else damaged(data, rng)

    def attempt(data):
        path.write_bytes(data)
        npz.npz(str(path))

    require_only_uses_and_refusals(outcomes(attempt, make))


RECORD = {
    "values": {"learning_rate": 0.01, "batch_size": 32},
    "budget": 3,
    "status": "completed",
    "numbers": {"average_accuracy": 0.5, "forgetting": 0.25},
    "message": "",
    "seconds": 1.25,
}
JSONS = (None, True, -1, 1e999, float("nan"), "x", "", [], {}, [1], {"a": 1}, "completed", "failed", "lost")


def test_damaged_records_of_trials_are_read_or_refused(tmp_path):
    journal = Journal(tmp_path)
    journal.keep(RECORD)
    (file,) = tmp_path.glob("*.json")
    whole = file.read_bytes()

    def make(rng):
        if rng.random() < 0.5:
            return damaged(whole, rng)
        record = json.loads(whole)
        name = rng.choice(list(record))
        inside = record[name] if isinstance(record[name], dict) and rng.random() < 0.5 else record
        key = rng.choice(list(inside))
        inside.pop(key) if rng.random() < 0.3 else inside.update({key: rng.choice(JSONS)})
        return json.dumps(record).encode()

    def attempt(data):
        file.write_bytes(data)
        journal.check("average_accuracy")
        record = journal.find(RECORD["values"], RECORD["budget"])
        assert record.keys() == RECORD.keys()
        assert record["values"] == RECORD["values"] and record["budget"] == RECORD["budget"]
        assert record["status"] == "failed" or np.isfinite(record["numbers"]["average_accuracy"])

    require_only_uses_and_refusals(outcomes(attempt, make, seconds=5))
