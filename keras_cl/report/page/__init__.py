"""The page about runs: one HTML file with figures, style and script, which loads nothing from elsewhere."""

import base64
import functools
import hashlib
import pathlib

from keras_cl.report.page import comparison, content, drawings, numbers
from keras_cl.report.selection import selected

FOLDER = pathlib.Path(__file__).parent


def page(groups, compared=None, style=""):
    """The page about groups of runs as HTML.

    Args:
      groups: list of `Group`s.
      compared: their `Comparison`; None to leave it out.
      style: name or file of a matplotlib style for the figures.
    """
    from markupsafe import Markup

    several, script = len(groups) > 1, (FOLDER / "script.js").read_text()
    drawn, left_out = drawings.drawn(selected(groups), several, style)
    return _template().render(
        title=content.title(groups),
        facts=content.facts(groups),
        notes=content.notes(groups),
        groups=[group.label for group in groups],
        numbers=[] if several else content.key_numbers(groups[0]),
        comparisons=comparison.tables(compared) if several and compared else [],
        drawings=drawn,
        left_out=left_out,
        tables=[table for table in _tables(groups) if table],
        matrices=numbers.matrix_tables(groups),
        differing=content.differing(groups),
        settings=content.settings(groups),
        commands=content.commands(groups),
        versions=content.versions(groups),
        style=Markup((FOLDER / "style.css").read_text()),
        script=Markup(script),
        script_hash="sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _tables(groups):
    shared = [numbers.anytime_table(groups), numbers.generator_table(groups)]
    shared += [numbers.cost_table(groups), numbers.run_table(groups)]
    if len(groups) == 1:
        return [numbers.metric_table(groups[0]), *shared]
    return [*shared, numbers.definition_table()]


@functools.cache
def _template():
    import jinja2

    loader = jinja2.FileSystemLoader(FOLDER)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("template.html")
