"""How many tasks a stream has, and how many classes each of them."""

from keras_cl.errors import InputError, require

TASKS = 5  # of a stream, unless something says how many


def number_of_tasks(tasks, **lists):
    """The number of tasks of a stream: `tasks`, or as many as a list has values; `TASKS` if neither is given.

    Args:
      tasks: number of tasks, or None.
      **lists: options with one value for each task, () if they are not given.

    Raises:
      InputError: if the numbers differ, or there is no task.
    """
    for name, values in lists.items():
        tasks = len(values) if values and tasks is None else tasks
        require(
            not values or len(values) == tasks,
            f"{len(values)} {name} are given for {tasks} tasks; leave tasks out, or give one for each task.",
        )
    tasks = TASKS if tasks is None else tasks
    require(tasks >= 1, f"A stream needs at least one task, not {tasks}.")
    return tasks


def sizes_of(tasks, sizes, first, count, name):
    """Number of classes of every task.

    Args:
      tasks: number of tasks.
      sizes: these numbers, or () for equal ones.
      first: that of the first task, the others being equal; 0 if it is like the others.
      count: number of classes of the data, whose `name` is for messages.

    Raises:
      InputError: if the tasks cannot have all classes between them; says what is possible.
    """
    told = ",".join(map(str, sizes))
    require(
        not (sizes and first),
        f"sizes {told} and first {first} are both given; sizes has the first task too: leave first out.",
    )
    require(tasks <= count, f"{count} classes of {name} cannot make {tasks} tasks: at most {count}.")
    require(first >= 0, f"first is {first}; it must not be negative.")
    require(min(sizes, default=1) > 0, f"The sizes are {told}; every task needs at least one class.")
    require(
        sum(sizes) in (0, count),
        f"The sizes {told} add up to {sum(sizes)}, and {name} has {count} classes to divide; nearest: "
        f"{','.join(map(str, _nearest(sizes, count)))}.",
    )
    return tuple(sizes) or _equal(tasks, first, count, name)


def _nearest(sizes, count):
    """Sizes that add up to `count`, from the last one backwards as far as each keeps a class."""
    found, wrong = list(sizes), sum(sizes) - count
    for place in reversed(range(len(found))):
        change = min(wrong, found[place] - 1)
        found[place], wrong = found[place] - change, wrong - change
    return found


def _equal(tasks, first, count, name):
    rest, others = count - first, tasks - bool(first)
    possible = [n + bool(first) for n in range(1, rest + 1) if rest % n == 0]
    what = f"{count} classes of {name}" + (f", after {first} in the first task," if first else "")
    require(rest > 0, f"first is {first}, and {name} has {count} classes: none is left for a second task.")
    require(
        others and rest % others == 0,
        f"{what} do not split into {tasks} {'' if first else 'equal '}tasks; possible: "
        f"{', '.join(map(str, possible))}.",
    )
    return (first,) * bool(first) + (rest // max(others, 1),) * others


def require_choices(sizes, scenario):
    """Raises `InputError` for a task of one class, of `sizes` classes, where it makes no sense."""
    alone = [number for number, size in enumerate(sizes, 1) if size == 1]
    if alone and scenario != "class":
        every = len(alone) == len(sizes)
        which = f"{len(alone)} tasks of one class each" if every else f"Task {alone[0]}, of one class,"
        raise InputError(
            f"{which} can only be class-incremental: with one possible answer there is nothing to learn; "
            f"give --scenario=class or fewer tasks."
        )


def require_class_incremental(stream, scenario):
    """Raises `InputError` in the scenarios in which a class that comes back has another output."""
    require(
        scenario == "class",
        f"The stream {stream} is class-incremental: in the {scenario}-incremental scenario a class would "
        f"have another output in each of its tasks; give --scenario=class.",
    )
