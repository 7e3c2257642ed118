"""Reads and updates of variables that may come in any order, in graphs as TensorFlow's executor runs them.

TensorFlow's graph optimizer can drop the order in which a step reads a variable and then updates it. The
result then depends on which thread comes first, in one of a few hundred steps.
"""

import collections
import contextlib
import functools
import itertools
import re

from tensorflow.python.eager import context

UPDATES = ("Assign", "ResourceApply", "ResourceScatter")
PASSED_ON = ("Enter", "Identity", "Switch", "Merge")


@contextlib.contextmanager
def executed_graphs():
    """A list that gets the optimized graphs of functions that are called first in the `with` block, at its
    end."""
    graphs = []
    context.context().enable_graph_collection()
    try:
        yield graphs
    finally:
        metadata = context.context().export_run_metadata()
        context.context().disable_graph_collection()
        graphs += [function.post_optimization_graph for function in metadata.function_graphs]


def unordered(graph):
    """Pairs of names, of a read and an update or two updates of one variable, of which neither waits for the
    other in the same round of a loop; `graph` is a `GraphDef`."""
    nodes = {node.name: node for node in graph.node}
    following, uses = collections.defaultdict(list), collections.defaultdict(list)
    for node in graph.node:
        for name in node.input:
            following[_name(name)].append(node.name)
        if node.input and (node.op == "ReadVariableOp" or node.op.startswith(UPDATES)):
            uses[_variable(nodes, node)].append(node)
    rounds = [node.name for node in graph.node if node.op == "NextIteration"]

    @functools.cache
    def reached(start, ends):
        seen, left = {start}, [start]
        while left:
            name = left.pop()
            new = set() if name in ends else set(following[name]) - seen
            seen |= new
            left += new
        return seen

    def found(one, other):
        loop = min(_loop(one.name), _loop(other.name), key=len)  # the innermost that both are in
        ends = frozenset(name for name in rounds if loop.startswith(_around(name)))
        return other.name not in reached(one.name, ends) and one.name not in reached(other.name, ends)

    pairs = itertools.chain(*(itertools.combinations(nodes_of, 2) for nodes_of in uses.values()))
    updating = (pair for pair in pairs if any(node.op.startswith(UPDATES) for node in pair))
    return [(one.name, other.name) for one, other in updating if found(one, other)]


def _name(tensor):
    return tensor.lstrip("^").split(":")[0]


def _variable(nodes, node):
    """Name of the node that brings the variable which a node reads or updates."""
    node = nodes[_name(node.input[0])]
    while node.op in PASSED_ON:
        node = nodes[_name(node.input[0])]
    return node.name


def _around(name):
    """The loop whose round the `NextIteration` node of a name ends."""
    return re.sub(r"next_iteration/_\d+$", "", name)


def _loop(name):
    """The innermost loop in whose body a node is; names of TensorFlow's lowered loops tell."""
    return "".join(re.findall(r".*/body/_\d+/", name)[:1])
