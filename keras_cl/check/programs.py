"""How many programs XLA makes of a step: a law that reads the traced graph and compiles nothing.

Some inputs of operations are part of a program of XLA: sizes, axes, and the place where a slice begins. If
such an input depends on a variable, its value is compiled in, and each new value takes another program, which
costs seconds and hundreds of memory mappings. So `table[self.task]` is compiled anew in every task, and
`tf.gather(table, self.task)` once.
"""

import collections

from keras_cl.check.compare import hold
from keras_cl.check.placement import traced

# Places among the inputs of an operation of what XLA compiles in (`CompileTimeConstantInput` in its sources).
COMPILED_IN = {
    **dict.fromkeys(("StridedSlice", "ResourceStridedSliceAssign", "TensorStridedSliceUpdate"), (1, 2, 3)),
    **dict.fromkeys(("StridedSliceGrad",), (0, 1, 2, 3)),
    **dict.fromkeys(("Slice", "SplitV"), (1, 2)),
    **dict.fromkeys(("Range", "LinSpace"), (0, 1, 2)),
    **dict.fromkeys(("Reshape", "BroadcastTo", "Tile", "Pad", "PadV2", "MirrorPad", "OneHot"), (1,)),
    **dict.fromkeys(("Sum", "Mean", "Prod", "Max", "Min", "All", "Any", "ArgMax", "ArgMin"), (1,)),
    **dict.fromkeys(("Transpose", "ExpandDims", "ReverseV2", "Cumsum", "Cumprod", "TopKV2"), (1,)),
    **dict.fromkeys(("Fill", "Split", "StatelessRandomUniformV2", "StatelessRandomNormalV2"), (0,)),
    **dict.fromkeys(("GatherV2", "UnsortedSegmentSum", "ScatterNd"), (2,)),
    **dict.fromkeys(("Conv2DBackpropInput", "DepthwiseConv2dNativeBackpropInput"), (0,)),
    **dict.fromkeys(("Conv2DBackpropFilter", "DepthwiseConv2dNativeBackpropFilter"), (1,)),
    **dict.fromkeys(("TensorListReserve", "EmptyTensorList"), (0, 1)),
    "ConcatV2": (-1,),
}
SHAPES_ONLY = ("Shape", "ShapeN", "Size", "Rank", "TensorListLength")  # of their inputs they know no values
CALLS = {  # attributes that name functions, and how many inputs are not passed to them
    **dict.fromkeys(("PartitionedCall", "StatefulPartitionedCall"), (("f",), 0)),
    **dict.fromkeys(("While", "StatelessWhile"), (("body", "cond"), 0)),
    **dict.fromkeys(("If", "StatelessIf"), (("then_branch", "else_branch"), 1)),
    **dict.fromkeys(("Case", "StatelessCase"), (("branches",), 1)),
}
READS = ("ReadVariableOp", "ResourceGather", "ResourceGatherNd")  # of a variable, their first input


def one_program(subject, scenario):
    """A law about the steps that a `Subject` took last, in each of its scenarios."""
    found = compiled_in(traced(subject.trained(scenario)))
    hold(
        not found,
        f"it is compiled anew for each value of {', '.join(found)}; take rows of a table by tf.gather",
    )


def compiled_in(function):
    """Names of the variables whose values XLA compiles into the program of a `ConcreteFunction`, sorted."""
    graph = function.graph.as_graph_def()
    bodies = {"": _Body(graph.node, (), {})}
    for part in graph.library.function:
        arguments = [argument.name for argument in part.signature.input_arg]
        results = [part.ret[result.name] for result in part.signature.output_arg]
        bodies[part.signature.name] = _Body(part.node_def, arguments, results)
    search = _Search(bodies)
    for name, body in bodies.items():
        for node in body.nodes.values():
            values = [tensor for tensor in node.input if not tensor.startswith("^")]
            for place in COMPILED_IN.get(node.op, ()):
                search.follow(name, values[place])
    held = {id(variable.handle): variable.name for variable in function.graph.variables}
    names = {inner.op.name: held.get(id(outer), "a variable") for outer, inner in function.graph.captures}
    return sorted({names.get(name, name) for name in search.read})


class _Body:
    """The graph of a function: its nodes by name, its arguments, and what it returns."""

    def __init__(self, nodes, arguments, results):
        self.nodes = {node.name: node for node in nodes}
        self.arguments, self.results = {name: place for place, name in enumerate(arguments)}, results

    def callees(self, node):
        """Names of the functions that a node calls."""
        if node.op not in CALLS:
            return []
        values = [node.attr[name] for name in CALLS[node.op][0]]
        return [part.name for value in values for part in value.list.func or [value.func]]


class _Search:
    """Follows values back to the variables that they are read from, `read`, through calls and arguments."""

    def __init__(self, bodies):
        self.bodies, self.read, self._seen = bodies, set(), set()
        self._callers = collections.defaultdict(list)  # (name of the caller, node) of each function
        for name, body in bodies.items():
            for node in body.nodes.values():
                for callee in body.callees(node):
                    self._callers[callee].append((name, node))

    def follow(self, body, tensor, handle=False):
        """Follows a tensor of a body; `handle` says that it is what a variable is known by, not a value."""
        waiting = [(body, tensor, handle)]
        while waiting:
            step = waiting.pop()
            if step not in self._seen:
                self._seen.add(step)
                waiting += self._sources(*step)

    def _sources(self, name, tensor, handle):
        """What a tensor is made of, as arguments of `follow`."""
        body, (node_name, *place) = self.bodies[name], tensor.split(":")
        if node_name in body.arguments:
            return [
                (caller, node.input[body.arguments[node_name] + CALLS[node.op][1]], handle)
                for caller, node in self._callers[name]
            ]
        node = body.nodes[node_name]
        if handle and node.op not in CALLS:
            self.read.add(node_name)
            return []
        if node.op in SHAPES_ONLY:
            return []
        if node.op in CALLS:
            return self._returned(name, node, int(place[-1]) if place else 0, handle)
        values = [one for one in node.input if not one.startswith("^")]
        return [(name, one, node.op in READS and one is values[0]) for one in values]

    def _returned(self, name, node, place, handle):
        """Sources of result number `place` of a call: what it returns, begins with (loops), is chosen by."""
        loops = node.op.endswith("While")
        callees = self.bodies[name].callees(node)[: 1 if loops else None]
        begun = [(name, node.input[place], handle)] if loops else []
        begun += [(name, one, False) for one in node.input[: CALLS[node.op][1]]]
        return begun + [(callee, self.bodies[callee].results[place], handle) for callee in callees]
