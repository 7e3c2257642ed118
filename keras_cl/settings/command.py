"""Shared by the absl apps of this library: errors as one sentence, exit codes, no traceback."""

import os
import sys

from absl import flags

from keras_cl.errors import InputError

HELP = ("--help", "-help", "-h", "--helpfull", "--helpshort")


def parser(parse):
    """Makes an absl `flags_parser` from a function of argv; bad input ends the program with one sentence."""

    def read(argv):
        flags.FLAGS(argv[:1])  # absl requires that its own flags are parsed too
        try:
            return parse(argv)
        except InputError as error:
            _refuse(error)

    return read


def plain(main, interrupted="Interrupted."):
    """Wraps a main function that takes settings with a `verbosity`; prints `interrupted` at Ctrl-C."""

    def run(config):
        try:
            main(config)
        except InputError as error:
            if config.verbosity:
                raise
            _refuse(error)
        except KeyboardInterrupt:
            print(interrupted, file=sys.stderr)
            sys.exit(130)
        # Exits here to skip TensorFlow's slow shutdown; everything is on disk.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)

    return run


def _refuse(error):
    print(f"Error: {error}", file=sys.stderr)
    sys.exit(1)
