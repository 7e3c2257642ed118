"""The site: pages are made from the files of the choices, formulas and links are put right."""

import ast
import re
import shlex
import shutil

import pytest

from docs.site import choices, evidence, figures, links, mathml, prose, reference
from keras_cl.settings import flags, library

METHODS = library.names("method")
PAGED = [*library.AXES, *library.LISTS]


def document(axis, name):
    return ast.get_docstring(ast.parse((library.LIBRARY / library.folder(axis) / f"{name}.py").read_text()))


# ---- formulas --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METHODS)
def test_every_method_has_an_equation_that_is_understood(name):
    formulas = [found[2] for found in mathml.BLOCK.finditer(document("method", name))]
    assert formulas
    assert all(mathml.mathml(formula, "block").startswith("<math") for formula in formulas)


@pytest.mark.parametrize("axis", PAGED)
def test_equations_stay_out_of_help_and_tables(axis):
    for name in library.names(axis):
        found = library.read(axis, name)
        assert not re.search(r"\$|\\", found.title + found.summary + "".join(o.help for o in found.options))


def test_a_formula_becomes_mathml():
    assert re.fullmatch(
        r"<math [^>]*><mrow><msub><mi>a</mi><mi>i</mi></msub></mrow></math>", mathml.mathml("a_i")
    )
    assert "argmin" in mathml.mathml(r"\arg\min_v v")


def test_a_formula_with_an_unknown_command_is_refused():
    with pytest.raises(ValueError, match=r"not known \(\\nothing\): x \\nothing"):
        mathml.mathml(r"x \nothing")


def test_formulas_stand_in_text_and_blocks_but_not_in_code():
    from markdown import Markdown

    text = "Of $a_i$, `$b$` and $5 or $HOME.\n\n$$ c\n+ d $$\n\n```\n$$ e $$\n```\n"
    html = Markdown(extensions=["pymdownx.superfences", mathml.Formulas()]).convert(text)
    assert html.count("<math") == 2
    assert html.count('<div class="formula"><math') == 1
    assert "<code>$b$</code> and $5 or $HOME." in html
    assert "$$ e $$" in html


# ---- text ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("theta*_k of n_samples", r"$\theta^*_{k}$ of n_samples"),
        ("sum_i F_{k,i} * CE_t", r"sum_i $F_{k,i}$ \* $\mathrm{CE}_{t}$"),
        ("a < b, `x_i * y`, [B]", r"a &lt; b, `x_i * y`, \[B\]"),
        ("(arXiv:1612.00796)", "([arXiv:1612.00796](https://arxiv.org/abs/1612.00796))"),
    ],
)
def test_plain_text_becomes_markdown_that_says_the_same(text, made):
    assert prose.inline(text) == made


def test_a_docstring_is_read_up_to_its_sections():
    assert prose.paragraphs("One.\n\nTwo\nlines.\n\nArgs:\n  x: three.") == ["One.", "Two\nlines."]


def test_arguments_that_are_described_together_have_an_entry_each():
    from docs.site.griffe_text import plain

    document = "L = sum_i a_i   (eq. 1)\n\nOf b_i.\n\nArgs:\n  x, y_z: of a < b\n    or *c*.\n  **d: e.\n"
    assert plain(document) == (
        "`L = sum_i a_i (eq. 1)`\n\nOf $b_{i}$.\n\nArgs:\n  x: of a &lt; b\n    or \\*c\\*.\n"
        "  y_z: of a &lt; b\n    or \\*c\\*.\n  **d: e.\n"
    )


# ---- pages -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("axis", PAGED)
def test_every_choice_has_a_page_with_its_options_and_a_command(axis):
    for name in library.names(axis):
        page = choices.page(axis, name)
        found = library.read(axis, name)
        own = choices.own_options(axis, name, name if axis == "method" else "finetune")
        assert all(f"| `{option.name}` |" in page for option in own)
        assert found.title.partition(": ")[2].rstrip(".")[1:] in page
        command = re.search(r"^python -m keras_cl.main .*$", page, re.M)[0]
        config = flags.parse(["main", *shlex.split(command)[3:]])
        assert getattr(config, axis) == ((name,) if axis in library.LISTS else name)


def test_an_index_names_every_choice_of_its_axis():
    for axis in PAGED:
        page = choices.index(axis)
        assert re.findall(r"^\| `(\w+)` \|", page, re.M) == library.names(axis)


def test_a_new_file_is_a_new_page(tmp_path, monkeypatch):
    source = '''r"""Half: does half of it.

$$ L = \\frac12 L_t $$
"""

from keras_cl.methods.base import ContinualModel


class Half(ContinualModel):
    """L = 1/2 CE_t

    The other half is left.

    Args:
      network: raw images to logits.
      share: how much of it.
    """

    scenarios = ("class",)
    search = {"share": (0.1, 0.9)}

    def __init__(self, network, *, share: float = 0.5, **base):
        super().__init__(network, **base)
'''
    copy = shutil.copytree(library.LIBRARY, tmp_path / "keras_cl")
    (copy / "methods/half.py").write_text(source)
    monkeypatch.setattr(library, "LIBRARY", copy)
    page = choices.page("method", "half")
    parts = [
        "# Half\n",
        "Does half of it.",
        "$$ L = \\frac12 L_t $$",
        "The other half is left.",
        "python -m keras_cl.main --method=half --stream=split --scenario=class\n",
        "Scenarios: class.",
        "| `share` | float | `0.5` | how much of it. | 0.1 to 0.9, log scale |",
        source,
    ]
    places = [page.index(part) for part in parts]
    assert places == sorted(places)
    assert "L = 1/2" not in page.split("## Source")[0]
    assert "| `half` | [Half](keras_cl/methods/half.py) | Does half of it. | class |" in choices.index(
        "method"
    )


def test_the_rows_of_a_method_are_those_of_its_flagfiles():
    rows = {row.key for row in evidence.rows("method", "ewc")}
    assert {("digits", "ewc"), ("split_mnist", "task-ewc-exact")} <= rows
    assert ("digits", "si") not in rows
    page = choices.page("method", "ewc")
    line = next(line for line in page.splitlines() if "[split_mnist/task-ewc-exact]" in line)
    assert "| 99.6 ± 0.0 | 99.12 ± 0.16 (van de Ven 2025, [arXiv:2502.11756]" in line
    assert "yes, within 1" in line


def test_a_figure_has_the_colour_of_the_text_and_ids_of_its_own():
    figure = figures.of_choice("method", "ewc")
    ids = re.findall(r'\bid="([^"]+)"', figure)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', figure)) <= set(ids)
    assert "currentColor" in figure
    assert "#000000" not in figure
    assert figure == figures.of_choice("method", "ewc")
    assert all(f">{label}<" in figure for label in ("ewc", "finetune", "joint", "average accuracy (%)"))
    assert figure.count("<svg") == figure.count(">finetune<")  # panels with a bound come first


def test_a_choice_without_curves_has_no_figure():
    assert figures.of_choice("stream", "nothing") == ""


def test_the_reference_names_what_is_public():
    pages = reference.pages()
    import keras_cl

    assert all(f"{module}.{name}" in pages["api/index.md"] for name, module in keras_cl.PUBLIC.items())
    assert "::: keras_cl.methods.ewc.EWC" in pages["api/methods.md"]
    assert "::: keras_cl.networks.mlp.mlp" in pages["api/networks.md"]
    assert "::: keras_cl.sources.from_arrays" in pages["api/sources.md"]
    assert "::: keras_cl.runs.data_frame.load" in pages["api/runs.md"]
    from keras_cl.report import plots

    found = re.findall(r"^::: keras_cl\.report\.plots\.(\w+)$", pages["api/report.plots.md"], re.M)
    assert sorted(found) == sorted(plots.names())


# ---- links -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("docs/keras.md", ("keras.md", "")),
        ("README.md", ("readme.md", "")),
        ("keras_cl/methods/ewc.py", ("methods/ewc.md", "")),
        ("keras_cl/methods", ("methods/index.md", "")),
        ("keras_cl/methods/base.py", ("source/keras_cl/methods/base.py.md", "")),
        ("results/digits/ewc.flags", ("rows/digits.md", "#ewc")),
        ("LICENSE", ("source/LICENSE.md", "")),
    ],
)
def test_a_file_of_the_repository_has_a_page(path, place):
    assert links.place(path) == place


def test_links_of_the_repository_become_links_of_the_site():
    text = "[a](../README.md#b) [c](keras.md) `[d](../e)` [f](https://g.h) [i](../LICENSE) [j](#k)\n"
    made = links.rewritten(text, "docs", "serving.md")
    assert made == (
        "[a](readme.md#b) [c](keras.md) `[d](../e)` [f](https://g.h) [i](source/LICENSE.md) [j](#k)\n"
    )
    assert links.rewritten("[i](LICENSE)", "", "methods/ewc.md") == "[i](../source/LICENSE.md)"
    assert (
        links.rewritten("[i](LICENSE)", "", "x.md", "https://r/blob/main")
        == "[i](https://r/blob/main/LICENSE)"
    )
    assert links.targets(text, "docs") == {"README.md", "docs/keras.md", "LICENSE"}
