"""Command line: trains every combination of methods, scenarios, seeds and other settings, and compares them.

python -m keras_cl.compare --methods=finetune,ewc,er --scenarios=task,class --stream=split --dataset=mnist
    --seeds=0,1,2 --jobs=2 --out=comparison
"""

import sys

from absl import app

from keras_cl.compare import flags, program
from keras_cl.settings import command

INTERRUPTED = "Interrupted; the same command without --overwrite goes on with what is not finished."


def main(comparison):
    """Trains what is not trained yet, and writes the comparison."""
    if program.run(comparison):
        sys.stdout.flush()
        sys.exit(1)


def cli():
    """What `keras-cl-compare` and `python -m keras_cl.compare` run."""
    parse = lambda argv: program.Comparison.of(flags.parse(argv))  # noqa: E731
    app.run(command.plain(main, INTERRUPTED), flags_parser=command.parser(parse))


if __name__ == "__main__":
    cli()
