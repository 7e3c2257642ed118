"""Which runs are of the same stream: only their numbers can be compared."""

import dataclasses

from keras_cl.errors import require
from keras_cl.report.groups import labelled
from keras_cl.report.labels import numbered
from keras_cl.report.streams import said, stream_of
from keras_cl.settings.external import short_name


@dataclasses.dataclass(frozen=True)
class Block:
    """The groups of one stream: one table, and one place in a mean rank.

    Attributes:
      label: the stream in words, for example "split mnist, class-incremental".
      groups: its `Group`s, with labels that distinguish them from each other.
    """

    label: str
    groups: list


def blocks(groups):
    """The `Block`s of groups, in their order: of one stream are groups that agree in all that both say."""
    found = []
    for group in groups:
        own = stream_of(group.settings)
        block = next((members for stream, members in found if not _differing(stream, own)), None)
        if block is None:
            found.append((own, block := []))
        block.append(group)
    streams = [stream for stream, _ in found]
    if len(found) == 1:  # whose labels the caller may have chosen
        return [Block(_label(streams[0], streams), list(groups))]
    names = numbered([_label(stream, streams) for stream in streams])
    members = [labelled(members) for _, members in found]
    return [Block(name, own) for name, own in zip(names, members, strict=True)]


def check_comparable(groups, across=False):
    """Checks that groups are of one stream.

    Args:
      groups: `Group`s.
      across: whether several streams are wanted: a table for each, and ranks over them.

    Raises:
      InputError: if they are of several, and these are not wanted.
    """
    found = blocks(groups)
    said = "; ".join(f"{_named(block.groups)} on {block.label}" for block in found)
    require(
        across or len(found) < 2,
        f"The runs are of different streams: {said}. Give --across for a table of each and ranks over them.",
    )


def _named(groups):
    names = list(dict.fromkeys(short_name(group.settings["method"]) for group in groups))
    return ", ".join(names[:4]) + f" and {len(names) - 4} more" * (len(names) > 4)


def _differing(one, other):
    return [name for name in one if name in other and one[name] != other[name]]


def _label(own, streams):
    """A stream in words: its name and scenario, and what else distinguishes it from the others. An option
    that is 0 or off is not said."""
    names = dict.fromkeys(name for other in streams for name in _differing(own, other))
    tasks = [f"{own['tasks']} tasks"] if "tasks" in names else []
    names = [name for name in names if name not in ("stream", "scenario", "tasks") and own[name]]
    more = [said(name.rpartition(".")[2], own[name]) for name in names]
    return ", ".join([own["stream"], f"{own['scenario']}-incremental", *tasks, *more])
