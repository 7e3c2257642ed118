"""Command line: trains one method on one stream, with any number of seeds.

python -m keras_cl.main --method=ewc --stream=split --dataset=mnist --scenario=task
"""

from absl import app

from keras_cl.settings import command
from keras_cl.settings import flags as command_flags

INTERRUPTED = "Interrupted; the same command without --overwrite resumes after the last finished task."


def main(config):
    """Trains by the settings of the command line."""
    from keras_cl.devices import device

    where, strategy = device.started(config.device, config.strategy, not config.verbosity)
    from keras_cl import train

    train.run(config, device=where, strategy=strategy)


def cli():
    """What `keras-cl` and `python -m keras_cl.main` run."""
    app.run(command.plain(main, INTERRUPTED), flags_parser=command.parser(command_flags.parse))


if __name__ == "__main__":
    cli()
