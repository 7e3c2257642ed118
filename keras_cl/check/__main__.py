"""Command line: checks whether a method of your own keeps the laws of all methods.

python -m keras_cl.check --method=path/to/cwr.py
"""

import sys
import tempfile
from typing import NamedTuple

from absl import app

from keras_cl.errors import did_you_mean, require
from keras_cl.settings import catalog, command, flags
from keras_cl.settings.config import SCENARIOS

# Supported flags; the laws have their own tasks and data.
OWN = ("method", "memory", "network", "regime", "optimizer", "learning_rate", "momentum", "precision")
OTHERS = ("scenario", "verbosity")


class Asked(NamedTuple):
    """What a command line asks for: a `Config` with the method, `{flag: value}` of flags, and scenarios."""

    config: object
    given: dict
    scenarios: tuple

    @property
    def verbosity(self):
        """Whether tracebacks are shown."""
        return self.config.verbosity


def parse(argv):
    """What a command line asks for; prints help and exits if that is asked for.

    Raises:
      InputError: one sentence about the first unusable argument.
    """
    method = catalog.choice("method", flags.given(argv, "method"))
    asked = bool(flags.given(argv, "scenario"))
    if not asked:  # the usual one of the stream need not be one of the method's
        argv = [*argv, f"--scenario={method.constants.get('scenarios', SCENARIOS)[0]}"]
    config, given, _ = flags.read(argv, "keras_cl.check", "checks the laws that every method keeps")
    for name in given:
        require(
            name in OWN + OTHERS or "." in name,
            f"--{name} cannot be used here, because the laws have their own tasks and data; possible: "
            f"{', '.join(f'--{known}' for known in OWN + OTHERS)} and options.{did_you_mean(name, OWN)}",
        )
    scenarios = [config.scenario] if asked else method.constants.get("scenarios", SCENARIOS)
    return Asked(config, given, scenarios)


def main(asked):
    """Checks every law, prints the results, and exits with code 1 if a law does not hold."""
    config, given, scenarios = asked
    from keras_cl.devices import device

    device.prepare("cpu", quiet=not config.verbosity, starts=False)
    device.divide_cpu(2)
    from keras_cl.check.subject import Subject

    chosen = {name: value for name, value in given.items() if name in OWN and name != "method"}
    options = {name: value for name, value in given.items() if "." in name}
    with tempfile.TemporaryDirectory() as folder:
        subject = Subject(config.method, folder, options=options, **chosen)
        found = []
        for verdict in verdicts(subject, scenarios, config.verbosity):
            show(*verdict)
            found.append(verdict[0])
    broken, skipped = found.count(False), found.count(None)
    rest = f", {broken} do not" if broken else ""
    rest += f", {skipped} do not apply" if skipped else ""
    print(f"{config.name_of('method')}: {len(found) - broken - skipped} laws hold{rest}.")
    if broken:
        sys.exit(1)


def verdicts(subject, scenarios, verbosity=0):
    """Yields `(held, law, scenario, reason)`; `held` is None if a law does not apply, and the scenario is ""
    if the law is checked only once."""
    from keras_cl.check.compare import Broken
    from keras_cl.check.laws import LAWS, DoesNotApply

    for law in LAWS:
        for scenario in scenarios if law.everywhere else [""]:
            held, reason = True, ""
            try:
                law.check(subject, scenario) if law.everywhere else law.check(subject)
            except DoesNotApply as error:
                held, reason = None, str(error)
            except Broken as error:
                held, reason = False, str(error)
            except Exception as error:  # code from outside may raise anything
                if verbosity:
                    raise
                held, reason = False, _told(error)
            yield held, law.name, scenario, reason


def _told(error):
    """The type of an error and the last line of its message."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[-1]}" if lines else type(error).__name__


def show(held, law, scenario, reason):
    """Prints a verdict as a line."""
    word = {True: "holds", False: "BROKEN", None: "-"}[held]
    print(f"{word:8}{scenario:8}{law}{f': {reason}' if reason else ''}", flush=True)


def cli():
    """The command `keras-cl-check`."""
    app.run(command.plain(main), flags_parser=command.parser(parse))


if __name__ == "__main__":
    cli()
