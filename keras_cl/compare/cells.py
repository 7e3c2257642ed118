"""A cell of a grid is one run with one seed; what a worker does with it."""

import dataclasses

from keras_cl.compare.jobs import Job
from keras_cl.settings import flags as command_flags
from keras_cl.settings.config import Config


@dataclasses.dataclass(frozen=True)
class Cell:
    """One run with one seed.

    Attributes:
      config: its `Config`.
      flags: its command line for `keras_cl.main`, a list of text.
      label: what distinguishes it in the grid, for example "ewc class seed 0".
    """

    config: Config
    flags: list[str]
    label: str

    def at(self, directory):
        """The same run in another directory."""
        config = dataclasses.replace(self.config, run_dir=str(directory))
        flags = [flag for flag in self.flags if not flag.startswith("--run_dir=")]
        return Cell(config, [*flags, f"--run_dir={directory}"], self.label)

    def job(self, function):
        """The `Job` "train" or "check" of this cell."""
        return Job(self.label, f"{__name__}:{function}", {"flags": self.flags})


def train(flags, report=None):
    """Trains as `keras_cl.main` does with these flags, without a word.

    Args:
      flags: list of text.
      report: function of a fraction and a text, called while it trains.

    Returns:
      `{"run": directory}`, with `"in_use": True` if another process is training this run.

    Raises:
      InputError: one sentence about an error that a user can correct.
    """
    config = command_flags.parse(["", *flags])
    from keras_cl.devices import device

    where, strategy = device.started(config.device, config.strategy, not config.verbosity)
    from keras_cl import train as training
    from keras_cl.compare.display import Reported
    from keras_cl.runs.opening import InUse

    directory = {"run": str(config.directory)}
    try:
        training.run(config, where, Reported(report), strategy)
    except InUse:
        return {**directory, "in_use": True}
    return directory


def check(flags):
    """Raises `InputError` if no model can be made with these flags; reads no data."""
    config = command_flags.parse(["", *flags])
    from keras_cl.devices import device

    device.started(config.device, config.strategy, not config.verbosity)
    from keras_cl.runs import measurements, plan
    from keras_cl.settings.build import make_model, make_stream

    stream = make_stream(config)
    model = make_model(config, stream, config.seeds[0])
    measurements.check(config, model)
    plan.check(model, stream, config)
