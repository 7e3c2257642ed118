"""One line a component while kfp runs the line on this machine; all that it and components say is kept.

kfp has no hook for this. It logs where a component begins and ends, on the standard output, and whether it
comes from the cache; both are read here.
"""

import logging
import re
import time

from pipelines.settings import title

_QUOTED = r".*?'([\w-]+)'.*?"  # a name, with the colours around it
BEGUN = re.compile(rf"- INFO - Executing task {_QUOTED}$")
ENDED = re.compile(rf"- (?:INFO|ERROR) - Task {_QUOTED} finished with status .*?(SUCCESS|FAILURE)")
CACHED = re.compile(r"Task ([\w-]+) cache hit")
TRACEBACK = "Traceback (most recent call last):"
ERROR = re.compile(r"^    ([A-Za-z_][\w.]*)(?:: (.*\S))?\s*$")  # after one, indented as kfp does it
OWN = ("keras_cl.errors.InputError", "keras_cl.errors.Diverged")


class Progress(logging.Handler):
    """A file for the standard output of kfp, and a handler of its log.

    Args:
      screen: a rich `Console`.
      log: text file that keeps everything.
      verbose: whether everything is shown too.

    Attributes:
      failed: the sentence about the component that failed; "" if none did.
      unheard: whether nobody reads the screen any more, as with `| head -1`.
    """

    def __init__(self, screen, log, verbose=False):
        super().__init__(logging.INFO)
        self.failed, self.unheard = "", False
        self._screen, self._log, self._verbose = screen, log, verbose
        self._rest, self._since = "", 0.0
        self._traced, self._error = False, None
        self._status = None

    # ---- as a file ---------------------------------------------------------------------------------------

    def write(self, text):
        """Keeps a text and reads the lines that it completes."""
        self._log.write(text)
        if self._verbose:
            self._print(text)
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._read(line)
        return len(text)

    def flush(self):
        """Writes what is kept to disk."""
        self._log.flush()

    def stop(self):
        """Ends what moves on the screen, as after Ctrl-C."""
        if self._status:
            self._status.stop()
            self._status = None

    # ---- as a handler ------------------------------------------------------------------------------------

    def emit(self, record):
        """Reads a log record; kfp tells of its cache in one."""
        found = CACHED.match(record.getMessage())
        if found:
            self._say(found[1], "from the cache")

    # ---- what is shown -----------------------------------------------------------------------------------

    def _read(self, line):
        if found := BEGUN.search(line):
            self._since = time.monotonic()
            self._traced, self._error = False, None
            if self._screen.is_terminal and not self._verbose:
                self._status = self._screen.status(_named(found[1]))
                self._status.start()
        elif found := ENDED.search(line):
            seconds = time.monotonic() - self._since
            failed = found[2] == "FAILURE"
            self._say(found[1], f"{'failed after' if failed else 'done in'} {seconds:.1f} s")
            if failed:
                self.failed = f"{_said(found[1])} failed: {_sentence(self._error)}"
        elif line.strip() == TRACEBACK:
            self._traced, self._error = True, None
        elif self._traced and not self._error:
            self._error = ERROR.match(line)

    def _say(self, name, what):
        self.stop()
        self._print(f"{_named(name)} {what}\n")

    def _print(self, text):
        try:
            self._screen.file.write(text)  # rich would end the program where nobody reads
            self._screen.file.flush()
        except BrokenPipeError:
            self.unheard = True


def _parts(name):
    """Component and number of the task of `trainer-2`; kfp calls that of the first task `trainer`."""
    component, number = re.fullmatch(r"(.*?)(?:-(\d+))?", name).groups()
    return title(component), int(number or 1)


def _named(name):
    component, number = _parts(name)
    return f"task {number}  {component:<16}"


def _said(name):
    component, number = _parts(name)
    return f"{component} of task {number}"


def _sentence(error):
    """What the last line of a traceback says."""
    if not error:
        return "it ended without a word, as a process that is killed."
    kind, text = error.groups()
    text = (text or "no reason given").strip()
    text = text if text.endswith((".", "?", "!")) else f"{text}."
    return text if kind in OWN else f"{kind.rpartition('.')[2]}: {text}"
