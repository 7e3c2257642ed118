"""What a run in a worker says of itself: how far it is, and nothing on the screen."""

from processes import small

from keras_cl import train
from keras_cl.compare.display import Reported


def test_a_run_says_how_far_it_is_and_shows_nothing(tmp_path, capsys):
    told = []
    train.run(small(tmp_path, export="none"), display=Reported(lambda *how: told.append(how)))
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0 and 0.5 in fractions
    assert {"task 1/2  epoch 1/1", "task 2/2  epoch 1/1"} <= {text for _, text in told}
    assert capsys.readouterr() == ("", "")
    assert "task 2/2 learned in" in (tmp_path / "run" / "log.txt").read_text()


def test_it_need_not_tell_anybody(tmp_path):
    Reported().training([1.0]).follow("evaluation")
