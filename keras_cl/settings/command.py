"""Shared by the absl apps of this library: errors as one sentence, exit codes, no traceback."""

import contextlib
import os
import signal
import sys
import warnings

from absl import flags

from keras_cl.errors import InputError, Notice
from keras_cl.settings import interrupts

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
            with interrupts.between_calls(), _warnings_as_sentences():
                main(config)
            sys.stdout.flush()
        except InputError as error:
            if config.verbosity:
                raise
            _refuse(error)
        except (MemoryError, *_exhausted()) as error:
            if config.verbosity:
                raise
            _refuse(f"The memory is exhausted: {error}".partition("\n")[0].rstrip(".") + ".")
        except BrokenPipeError:
            _unheard()
        except KeyboardInterrupt:
            print(interrupted, file=sys.stderr)
            _leave(128 + signal.SIGINT)
        _leave(0)

    return run


def end_with(text):
    """Prints a text, such as the help, and ends the program."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        _unheard()
    sys.exit(0)


@contextlib.contextmanager
def _warnings_as_sentences():
    """Prints warnings of this library as one sentence each, without file and line of its code."""
    with warnings.catch_warnings():
        usual = warnings.showwarning

        def shown(message, category, *place, **options):
            if issubclass(category, Notice):
                print(f"Warning: {message}", file=sys.stderr)
            else:
                usual(message, category, *place, **options)

        warnings.showwarning = shown
        yield


def _leave(code):
    """Ends the program at once, with all it has written on disk: TensorFlow's shutdown is slow, and not made
    for a beginning in the middle of a step."""
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _unheard():
    """Ends the program where nobody reads its output any more, as with `| head -1`."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at the end
    sys.exit(128 + signal.SIGPIPE)


def _exhausted():
    """What TensorFlow raises where memory is exhausted; () if it was not imported."""
    tensorflow = sys.modules.get("tensorflow")
    return (tensorflow.errors.ResourceExhaustedError,) if tensorflow else ()


def _refuse(error):
    print(f"Error: {error}", file=sys.stderr)
    sys.exit(1)
