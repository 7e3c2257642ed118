"""Command line: trains one method on one stream, any number of seeds.

python -m keras_cl.main --method=ewc --stream=split --dataset=mnist --scenario=task
"""

from absl import app

from keras_cl import command
from keras_cl import flags as command_flags

INTERRUPTED = "Interrupted; the same command, without --overwrite, goes on after the last finished task."


def main(config):
    """Runs the settings that the flags gave."""
    from keras_cl import device

    where = device.prepare(config.device, quiet=not config.verbosity)
    from keras_cl import train

    train.run(config, device=where)


if __name__ == "__main__":
    app.run(command.plain(main, INTERRUPTED), flags_parser=command.parser(command_flags.parse))
