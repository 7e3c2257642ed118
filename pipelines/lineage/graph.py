"""A history as a figure: a row for each task, the components from left to right, an arrow for each input."""

import networkx as nx

from pipelines.lineage.tree import raw_data, short

COLUMN, LANE, ROW = 2.0, 0.8, 0.35  # inches of a column, of a lane, and between two rows
BOX = (1.5, 0.52)
DPI, LARGEST = 120, 65000  # dots of an inch, and of a side that matplotlib can draw
LANES = {
    "StatisticsGen": 0,
    "SchemaGen": 0,
    "ExampleValidator": 0,
    "Trainer": 1,
    "Evaluator": 1,
    "ModelValidator": 1,
    "InfraValidator": 2,
    "Tuner": 2,
    "Pusher": 2,
}
COLOURS = {"ExampleGen": "#d7e8f7", "Trainer": "#fbe3c8", "Pusher": "#d5efd3"}


def draw(history, path):
    """Draws a `History` as a PNG image.

    Args:
      history: a `History`.
      path: file to write, for example `lineage.png`.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    graph = graph_of(history)
    places, (width, height) = layout(graph)
    figure, axes = pyplot.subplots(figsize=(width, height))
    axes.set_position((0, 0, 1, 1))
    try:
        axes.set_xlim(0, width)
        axes.set_ylim(-height, 0)
        axes.set_axis_off()
        boxes = {
            key: _box(axes, graph.nodes[key], place, key == history.start) for key, place in places.items()
        }
        for one, made in graph.edges:
            _arrow(axes, places, boxes, one, made)
        for task in {task for _, task in graph.nodes(data="task")}:
            rows = [places[key][1] for key, number in graph.nodes(data="task") if number == task]
            axes.text(0.2, (min(rows) + max(rows)) / 2, f"Task {task}", rotation=90, ha="center", va="center")
        figure.savefig(path, format="png", dpi=min(DPI, LARGEST / max(width, height)))
    finally:
        pyplot.close(figure)


def graph_of(history):
    """The networkx graph of a history, whose nodes have `label`, `task`, `component` and `edited`."""
    graph = nx.DiGraph()
    for key, record in history.records.items():
        label = f"{record['component']}\n{record['artifact']} {short(key)}"
        label += f"\n{raw_data(record)}"[:33] if raw_data(record) else ""
        graph.add_node(
            key,
            label=label,
            task=history.tasks[key],
            component=record["component"],
            edited=key in history.edits,
            missing=key in history.missing,
        )
    graph.add_edges_from((one, made, {"name": name}) for one, name, made in history.edges)
    return graph


def layout(graph):
    """`{id: (x, y)}` in inches, and the size of the figure.

    Each task is a row. A column holds what can be made at the same time within it (networkx's topological
    generations), and a lane what belongs together: data, model, server. The lane of the model is moved by
    half a column, so that arrows from task to task have free ways.
    """
    places, top, right = {}, 0.2, 0
    for task in sorted({task for _, task in graph.nodes(data="task")}):
        own = graph.subgraph([key for key, number in graph.nodes(data="task") if number == task])
        lanes = sorted({_lane(graph, key) for key in own})
        taken = set()
        for column, keys in enumerate(nx.topological_generations(own)):
            for key in sorted(keys, key=lambda key: _lane(graph, key)):
                lane = lanes.index(_lane(graph, key))
                while (column, lane) in taken:
                    lane += 1
                taken.add((column, lane))
                x = 0.4 + COLUMN * (column + 0.5 + 0.5 * (_lane(graph, key) == 1))
                places[key] = (x, -(top + LANE * (lane + 0.5)))
                right = max(right, x + 0.5 * COLUMN)
        top += LANE * (1 + max(lane for _, lane in taken)) + ROW
    return places, (right, top - ROW + 0.2)


def _lane(graph, key):
    return LANES.get(graph.nodes[key]["component"], 0)


def _box(axes, node, place, start):
    """Draws an artifact; returns the box, where arrows end."""
    from matplotlib.patches import FancyBboxPatch

    (x, y), (width, height) = place, BOX
    box = FancyBboxPatch(
        (x - width / 2, y - height / 2),
        width,
        height,
        boxstyle="round,pad=0,rounding_size=0.08",
        facecolor="#f7c6c6" if node["edited"] else COLOURS.get(node["component"], "#f2f2f2"),
        edgecolor="#c00000" if node["edited"] else "#444444",
        linewidth=2 if start or node["edited"] else 0.8,
        linestyle="--" if node["missing"] else "-",
        zorder=2,
    )
    axes.add_patch(box)
    label = f"{node['label']}\nEDITED" if node["edited"] else node["label"]
    axes.text(x, y, label, ha="center", va="center", fontsize=6.5, linespacing=1.15, zorder=3)
    return box


def _arrow(axes, places, boxes, one, made):
    from matplotlib.patches import FancyArrowPatch

    (x, y), (to, level) = places[one], places[made]
    hidden = any(place == level == y and x < across < to for across, place in places.values())
    axes.add_patch(
        FancyArrowPatch(
            (x, y),
            (to, level),
            connectionstyle=f"arc3,rad={-0.2 if hidden else 0}",  # over a box between the two
            patchA=boxes[one],
            patchB=boxes[made],
            arrowstyle="-|>",
            mutation_scale=8,
            linewidth=0.7,
            color="#777777",
            zorder=1,
        )
    )
