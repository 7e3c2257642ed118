"""What components would refuse, said before the first one runs."""

from pipelines.components import model_validator, tuner
from pipelines.examples.plan import classes_of
from pipelines.settings import config_of
from pipelines.validation.thresholds import read_thresholds


def require_usable(line):
    """Raises `InputError` for settings of a `settings.Line` that a component would refuse."""
    read_thresholds(line.thresholds_of("ExampleValidator"))
    model_validator.limits_of(line.thresholds_of("ModelValidator"))
    config = config_of(line.settings_text)
    if line.classes:
        classes_of(line.classes, config.scenario)
    options = tuner.options_of(line.tune_text)
    for arrived in range(1, line.arrived + 1) if line.tune_text else ():
        tuner.search_of(config, options, arrived)
