"""How many programs XLA makes of a step: what the traced graph says, and what XLA does."""

import subprocess
import sys
import types

import pytest
import tensorflow as tf
from processes import ROOT

from keras_cl.check.compare import Broken
from keras_cl.check.programs import compiled_in, one_program

TABLE = tf.reshape(tf.range(12.0), [4, 3])


def indexed(x, place, table):
    return x + TABLE[place]


def indexed_in_a_loop(x, place, table):
    return tf.while_loop(lambda k, _: k < 2, lambda k, x: (k + 1, x * TABLE[place + 1 - 1]), (0, x))[1]


def indexed_in_a_branch(x, place, table):
    return tf.cond(x[0] > 0, lambda: x, lambda: x + TABLE[place])


def indexed_in_a_case(x, place, table):
    return tf.switch_case(tf.cast(x[0], tf.int32), [lambda: x, lambda: x + TABLE[place]])


def indexed_by_a_choice(x, place, table):
    return x + TABLE[tf.cond(place > 0, lambda: 1, lambda: 2)]


def indexed_by_a_case(x, place, table):
    return x + TABLE[tf.switch_case(tf.cast(place, tf.int32), [lambda: 2, lambda: 0, lambda: 1])]


def indexed_by_a_table(x, place, table):
    return x + TABLE[tf.cast(tf.gather(table, place)[0], tf.int32) % 4]


def indexed_by_an_argument(x, place, table):
    return tf.function(lambda x, place: x + TABLE[place])(x, tf.identity(place))


def indexed_by_a_result(x, place, table):
    return x + TABLE[tf.function(lambda: tf.maximum(place, 1) - 1)()]


def slope_of_an_indexed_row(x, place, table):
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(table[place] * x)
    return x + tape.gradient(loss, table)[0]


def of_a_size(x, place, table):
    return x + tf.reduce_sum(tf.fill([place + 1], 2.0))


def gathered(x, place, table):
    return x + tf.gather(TABLE, place) + tf.gather(table, place)


def one_hot(x, place, table):
    return x + tf.linalg.matvec(TABLE, tf.one_hot(place, 4), transpose_a=True)


def looped_over(x, place, table):
    return tf.while_loop(
        lambda k, _: k < place, lambda k, x: (k + 1, x * TABLE[0]), (tf.zeros_like(place), x)
    )[1]


def shaped_like(x, place, table):
    return x + tf.reshape(x, tf.shape(tf.fill([3], place)))


COMPILED_ANEW = (
    *(indexed, indexed_in_a_loop, indexed_in_a_branch, indexed_by_an_argument, indexed_by_a_result),
    *(indexed_in_a_case, indexed_by_a_choice, indexed_by_a_case, slope_of_an_indexed_row, of_a_size),
)
COMPILED_ONCE = (gathered, one_hot, looped_over, shaped_like)
every_body = pytest.mark.parametrize(
    ("body", "found"),
    [(body, ["place:0"]) for body in COMPILED_ANEW]
    + [(body, []) for body in COMPILED_ONCE]
    + [(indexed_by_a_table, ["place:0", "table:0"])],
)


def step_of(body):
    """A step, and the variable that it depends on."""
    place, table = tf.Variable(0, dtype=tf.int64, name="place"), tf.Variable(TABLE, name="table")
    return tf.function(lambda x: body(x, place, table), jit_compile=True), place


@every_body
def test_variables_that_are_compiled_in_are_found(body, found):
    step, _ = step_of(body)
    assert compiled_in(step.get_concrete_function(tf.ones(3))) == found


def test_the_law_names_the_variable():
    def subject(body):
        function = types.SimpleNamespace(steps=step_of(body)[0])
        model = types.SimpleNamespace(train_function=function)
        result = types.SimpleNamespace(model=model, chunks=[(tf.TensorSpec([3], tf.float32),)])
        return types.SimpleNamespace(trained=lambda scenario: result)

    one_program(subject(gathered), "task")
    with pytest.raises(
        Broken, match="compiled anew for each value of place:0; take rows of a table by tf.gather"
    ):
        one_program(subject(indexed), "task")


@pytest.mark.slow
@every_body
def test_xla_does_as_the_graph_says(body, found, tmp_path):
    """XLA writes a file for each program, if its process is told so from the beginning."""
    code = (
        f"import tensorflow as tf; from test_programs import step_of, {body.__name__} as body\n"
        f"step, place = step_of(body)\n"
        f"for value in range(3): place.assign(value); step(tf.ones(3))"
    )
    flags = f"--xla_dump_to={tmp_path} --xla_dump_hlo_as_text --xla_dump_hlo_module_re=.*step_of.*|.*lambda.*"
    paths = ":".join(map(str, (ROOT, ROOT / "tests", ROOT / "tests/devices")))
    subprocess.run(
        [sys.executable, "-c", code],
        env={"XLA_FLAGS": flags, "PYTHONPATH": paths, "TF_CPP_MIN_LOG_LEVEL": "3"},
        check=True,
        timeout=600,
    )
    programs = list(tmp_path.glob("*before_optimizations.txt"))
    assert len(programs) == (3 if found else 1)
