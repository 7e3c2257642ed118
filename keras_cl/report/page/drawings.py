"""The figures of the page."""

import dataclasses

ROOM = 4_000_000  # characters of all figures
COLUMN = 4.5  # inches; a wider figure takes both columns of the page


@dataclasses.dataclass(frozen=True)
class Drawing:
    """A figure of the page.

    Attributes:
      id: its identifier in the page.
      plot: name of the plot.
      name: title of the plot.
      title: the same, with the group if it shows one of several.
      about: the same in a paragraph.
      svg: the SVG element, as markup.
      spots: what hovering says where, see `figures.svg`.
      wide: whether it takes the width of the page.
      group: label of the one group that it shows among several; "" if it shows all.
    """

    id: str
    plot: str
    name: str
    title: str
    about: str
    svg: str
    spots: list
    wide: bool
    group: str = ""

    @property
    def size(self):
        """Its characters in the page, about."""
        return len(self.svg) + sum(len(spot["text"]) + 60 for spot in self.spots)


def drawn(selected, several, style=""):
    """The figures of the page, those of all groups first, as long as there is room for all figures of a plot.

    Args:
      selected: pairs of the name of a plot and the groups that it shows.
      several: whether the page is about several groups.
      style: name or file of a matplotlib style.

    Returns:
      list of `Drawing`s, and the titles of the plots that are left out.
    """
    found, left_out, room = [], [], ROOM
    for name, shown in _by_plot(selected, several):
        own = []
        for number, groups in enumerate(shown, start=1):
            own.append(_drawing(f"figure_{name}_{number}", name, groups, several, style))
            if len(shown) * max(one.size for one in own) > room:
                left_out.append(own[0].name)
                break
        else:
            found += own
            room -= sum(one.size for one in own)
    return found, left_out


def _by_plot(selected, several):
    """`(name, [groups of each figure])` of plots, those that show all groups in one figure first."""
    plots_of = {}
    for name, groups in selected:
        plots_of.setdefault(name, []).append(groups)
    return sorted(plots_of.items(), key=lambda one: several and _single(one[0]))


def _single(name):
    from keras_cl.report import plots

    return plots.plot(name).SINGLE


def _drawing(identifier, name, groups, several, style):
    from markupsafe import Markup

    from keras_cl.report import figures, plots

    figure, marks = figures.figure(name, groups, style, title="")
    svg, spots = figures.svg(figure, marks)
    group = groups[0].label if several and _single(name) else ""
    return Drawing(
        id=identifier,
        plot=name,
        name=plots.title(name),
        title=f"{plots.title(name)}: {group}" if group else plots.title(name),
        about=plots.description(name),
        svg=Markup(svg),
        spots=spots,
        wide=figure.get_figwidth() > COLUMN,
        group=group,
    )
