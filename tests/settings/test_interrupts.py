"""Ctrl-C in and outside of calls of TensorFlow, whose place functions with the name of its package take."""

import os
import signal
import sys
import threading

import pytest

from keras_cl.settings.interrupts import between_calls


@pytest.fixture(autouse=True)
def heard():
    """Ctrl-C as at a terminal, whatever the tests were started with."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler and not sys.gettrace()
    signal.signal(signal.SIGINT, before)


def press():
    os.kill(os.getpid(), signal.SIGINT)


def function(package, lines, **names):
    """A function of a module of some package."""
    scope = {"__name__": f"{package}.module", **names}
    exec("def function(argument=None):\n" + "".join(f"    {line}\n" for line in lines), scope)
    return scope["function"]


def done_before(inner, done):
    """What is appended to `done` when a function of this library calls `inner` and goes on."""
    outer = function("keras_cl", ["inner()", "done.append('line after the call')"], inner=inner, done=done)
    with pytest.raises(KeyboardInterrupt), between_calls():
        outer()
    return done


@pytest.mark.parametrize("package", ["tensorflow", "tf_keras", "keras"])
def test_a_call_of_tensorflow_ends_before_ctrl_c_takes_effect(package):
    done = []
    inner = function(package, ["press()", "done.append('end of the call')"], press=press, done=done)
    assert done_before(inner, done) == ["end of the call"]


def test_ctrl_c_in_what_tensorflow_calls_waits_too_but_not_for_a_call_of_this_library():
    done = []
    remove = function("weakref", ["press()", "done.append('removed')"], press=press, done=done)
    callback = function("keras_cl", ["done.append('called back')"], done=done)
    fit = function("tf_keras", ["remove()", "callback()"], remove=remove, callback=callback)
    assert done_before(fit, done) == ["removed"]


def test_ctrl_c_outside_of_tensorflow_takes_effect_at_once():
    done = []
    inner = function("json", ["press()", "done.append('end of the call')"], press=press, done=done)
    assert done_before(inner, done) == []


def test_ctrl_c_while_tensorflow_is_imported_takes_effect_at_once():
    done = []
    module = function("tensorflow", ["press()", "done.append('end of the module')"], press=press, done=done)
    assert done_before(function("importlib._bootstrap", ["module()"], module=module), done) == []


def test_ctrl_c_while_a_graph_is_made_waits_for_its_end():
    import tensorflow as tf

    done = []
    lines = ["press()", "done.append('traced')", "return argument"]
    traced = function("keras_cl", lines, press=press, done=done)
    made = tf.function(traced, autograph=False)
    assert done_before(lambda: made(tf.zeros(())), done) == ["traced"]


def test_a_second_ctrl_c_takes_effect_at_once():
    done = []
    lines = ["press()", "done.append('first')", "press()", "done.append('second')"]
    assert done_before(function("tensorflow", lines, press=press, done=done), done) == ["first"]


def test_ctrl_c_that_is_ignored_stays_so():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with between_calls():
        press()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_a_program_may_run_in_a_thread():
    def run():
        with between_calls():
            kept.append(signal.getsignal(signal.SIGINT))

    kept = []
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert kept == [signal.default_int_handler]
