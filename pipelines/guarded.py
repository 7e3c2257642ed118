"""Runs a module as a program that ends with the process that started it, however that one ends.

python -m pipelines.guarded keras_cl.serve --port=8501    (with a pipe as standard input)

The starting process holds the other end of the pipe, which the system closes when that process ends, also by
kill -9.
"""

import os
import runpy
import sys
import threading


def _end_with_the_pipe():
    while os.read(0, 1):  # not sys.stdin, whose lock Python wants when it ends
        pass
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=_end_with_the_pipe, daemon=True).start()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
