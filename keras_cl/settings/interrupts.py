"""Ctrl-C that comes inside TensorFlow takes effect where control returns to this library's own code.

Python raises `KeyboardInterrupt` between any two of its instructions, also in those that TensorFlow's C++ has
called, and in those that make a graph of a function. There it is swallowed, becomes another error, or ends
the process with a segmentation fault.
"""

import contextlib
import signal
import sys
import threading

OURS = {"__main__", "keras_cl", "pipelines", "tuning", "results"}
THEIRS = {"tensorflow", "tf_keras", "keras"}


@contextlib.contextmanager
def between_calls():
    """Inside the `with` block Ctrl-C waits for the end of the call of TensorFlow that it interrupts, if there
    is one. A second Ctrl-C does not wait. Nothing changes where Ctrl-C is ignored, in a debugger, and outside
    of the main thread, which alone hears it."""
    before = signal.getsignal(signal.SIGINT)
    main = threading.current_thread() is threading.main_thread()
    if before is not signal.default_int_handler or sys.gettrace() or not main:
        yield
        return
    signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    finally:
        sys.settrace(None)
        signal.signal(signal.SIGINT, before)


def _interrupt(number, frame):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    own, inside = _own_frames(frame)
    if not own or not (inside or _traced()):
        raise KeyboardInterrupt
    for one in own:
        one.f_trace = _raise
    sys.settrace(_raise)


def _own_frames(frame):
    """The frames of this library, and whether the last one of them has called TensorFlow; to import it, which
    takes seconds, is not to call it."""
    own, packages = [], set()
    while frame:
        if _package(frame) in OURS:
            own.append(frame)
        packages |= set() if own else {_package(frame)}
        frame = frame.f_back
    return own, bool(packages & THEIRS) and "importlib" not in packages


def _raise(frame, event, _):
    """Trace function: raises in the next line, return or call of the library's own code."""
    if _package(frame) not in OURS:
        return None
    if _traced():
        return _raise
    sys.settrace(None)
    raise KeyboardInterrupt


def _traced():
    """Whether TensorFlow is making a graph of a function."""
    inside = getattr(sys.modules.get("tensorflow"), "inside_function", None)  # None until it is imported
    return inside is not None and inside()


def _package(frame):
    return frame.f_globals.get("__name__", "").partition(".")[0]
