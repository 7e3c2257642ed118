"""What is measured after training, from the checkpoints of a finished run: curvature, and its generator."""

from keras_cl.runs import curvature
from keras_cl.runs.directory import MEASUREMENTS
from keras_cl.runs.quality import measurement as generator_quality

MODULES = {"curvature": curvature, "generator_quality": generator_quality}


def check(config, model):
    """Raises `InputError` if something that a `Config` asks for cannot be measured of its model."""
    curvature.check(config, model.network)
    generator_quality.check(config, model)


class Measurements:
    """The measurements that a `Config` asks for, of all seeds of a run.

    Args:
      config: the `Config`.
      stream: its stream.
    """

    def __init__(self, config, stream):
        self._config, self._stream, self._kept = config, stream, {}

    def begin(self, directory):
        """Looks what has to be measured, and removes what is measured again; before a run is complete.

        Args:
          directory: the `RunDirectory` of a seed.

        Returns:
          `(missing, lost)`: names of what is to be measured, and of what was lost or edited besides.

        Raises:
          InputError: if a checkpoint is needed that was not kept.
        """
        config, changed, missing, lost = self._config, directory.changed(), [], []
        for name, (results, drawn) in MEASUREMENTS.items():
            _remove(directory, [figure for figure in drawn if figure in changed])
            gone = any(result in changed for result in results)
            there = not gone and MODULES[name].measured(config, self._stream, directory.path)
            if getattr(config, name) and not there:
                for number in range(1, max(directory.kept(), default=0)):
                    directory.kept_folder(number, f"--{name}")
                _remove(directory, [*drawn, *(results if directory.done else ())])
                missing.append(name)
            elif gone:
                lost.append(name)
        return missing, lost

    def take(self, missing, seed, directory, display):
        """Measures what is missing of the finished run of a seed."""
        for name in missing:
            MODULES[name].write(self._config, self._stream, seed, directory, display, self._kept)

    def undrawn(self, directory):
        """Whether a measurement has no figure yet."""
        files = ((results[0], figures[0]) for results, figures in MEASUREMENTS.values())
        exists = ([(directory.path / name).exists() for name in pair] for pair in files)
        return any(there and not shown for there, shown in exists)


def _remove(directory, names):
    for name in names:
        (directory.path / name).unlink(missing_ok=True)
