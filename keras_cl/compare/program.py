"""What a comparison does: checks all runs, trains those that are not trained yet, and compares them."""

import contextlib
import dataclasses
import importlib
import json
import time

from keras_cl.compare import cores, earlier, grid
from keras_cl.compare.local import Pool
from keras_cl.compare.progress import Overview, console, postponed
from keras_cl.compare.settings import Settings
from keras_cl.errors import InputError, require
from keras_cl.runs.files import make_folder, plain_file_errors
from keras_cl.runs.opening import in_use

# `{--on: module}`; each has a function `run(jobs, settings, watch)`, as `jobs.run` without the settings.
BACK_ENDS = {"ray": "keras_cl.compare.ray_cluster", "slurm": "keras_cl.compare.slurm"}
AGAIN = 2.0  # seconds between two looks at a run that another process trains


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The runs of a comparison, none of which is impossible by its settings.

    Attributes:
      settings: the `Settings`.
      cells: list of `Cell`s.
      impossible: `{reason: labels}` of the runs that are left out.
    """

    settings: Settings
    cells: list
    impossible: dict

    @property
    def verbosity(self):
        """The verbosity of the runs."""
        return max(cell.config.verbosity for cell in self.cells)

    @classmethod
    def of(cls, given):
        """The comparison of a `Given` command line.

        Raises:
          InputError: names all runs that are impossible.
        """
        cells, impossible = grid.cells(given)
        _refuse(impossible, cells, given.settings)
        _baselines(given.settings.baseline, cells)
        return cls(given.settings, cells, impossible)


def run(comparison, screen=None):
    """Trains what is not trained yet, and writes the comparison.

    Returns:
      list of `Outcome`s of the runs that failed.

    Raises:
      InputError: if runs are impossible, all have failed, `out` cannot be written, or the style is unusable.
    """
    screen = screen or console()
    settings = comparison.settings
    _check_output(settings)
    done, todo = earlier.split(comparison.cells, settings.runs_dir)
    failed, left_out = [], dict(comparison.impossible)
    if todo:
        with Pool(*_size(settings)) as pool:
            screen.print(f"{_runs(len(todo))} to train, {_runs(len(done))} done before; {_where(settings)}")
            impossible, todo = _checked(todo, pool.run)
            left_out |= impossible
            _refuse(impossible, todo or done, settings)
            trained, failed = _train(todo, _runner(settings, pool), screen)
        done |= trained
    if left_out:
        screen.print(f"Left out as impossible: {grid.told(left_out)}")
    _tell(failed, done, screen)
    paths = [done[cell.label] for cell in comparison.cells if cell.label in done]
    if not paths:  # all wait in a queue
        return failed
    _report(comparison, paths, screen)
    return failed


def _check_output(settings):
    """Raises `InputError` for what can be known of the comparison before hours of training."""
    if settings.style:
        from keras_cl.report.figures import read_style

        read_style(settings.style)
    for folder in (settings.runs_dir, settings.out):
        with plain_file_errors(folder):
            make_folder(folder)


def _refuse(impossible, possible, settings):
    """Raises `InputError` that names all impossible runs, unless they are to be left out."""
    require(not impossible or settings.skip_impossible, _told_impossible(impossible))
    require(possible, f"No run is possible. {grid.told(impossible)}")


def _baselines(name, cells):
    """The settings of the baseline on each stream, before anything is trained.

    Raises:
      InputError: if it will be the label of none of the runs, or can be several.
    """
    if not name:
        return []
    from keras_cl.report.comparison import baselines

    return [group.settings for group in baselines(_planned(cells), name) if group]


def _planned(cells):
    """The `Group`s of runs that are not trained yet."""
    from keras_cl.report.groups import grouped
    from keras_cl.runs.results import Results
    from keras_cl.runs.saved_run import SavedRun

    planned = []
    for cell in cells:
        place, settings = cell.config.directory, json.loads(grid.key(cell.config.settings))
        planned.append(SavedRun(place, place, settings, {}, Results([]), cell.config.seeds))
    return grouped(planned)


def _baseline_left(comparison, groups, screen):
    """The name of the baseline among the groups that are trained: where runs have failed, labels are shorter.
    It is "" if none of its runs is among them."""
    from keras_cl.report.comparison import baselines, blocks

    name = comparison.settings.baseline
    wanted = _baselines(name, comparison.cells)
    members = (group for block in blocks(groups) for group in block.groups)
    for label in [name, *(group.label for group in members if group.settings in wanted)]:
        with contextlib.suppress(InputError):
            if all(group.settings in wanted for group in baselines(groups, label) if group):
                return label
    screen.print(f"There are no differences to {name}, none of whose runs is trained.")
    return ""


def _told_impossible(impossible):
    count = sum(map(len, impossible.values()))
    many = f"{_runs(count)} {'is' if count == 1 else 'are'} impossible"
    return f"{many}, and nothing was begun; --skip_impossible leaves out what is. {grid.told(impossible)}"


def _runs(count):
    return f"{count} run{'' if count == 1 else 's'}"


def _where(settings):
    if settings.on != "local":
        return f"on {settings.on}; results go to {settings.runs_dir}"
    return f"{_size(settings)[0]} at a time; results go to {settings.runs_dir}"


def _size(settings):
    """Number of worker processes, and of the cores of each."""
    if settings.on != "local":  # they check the runs alone
        return 1, 0
    return settings.jobs or max(1, len(cores.available()) // max(1, settings.cores)), settings.cores


def _runner(settings, pool):
    """The function of jobs and a `Watch` that yields the `Outcome`s of training runs."""
    if settings.on == "local":
        return pool.run
    pool.stop()
    module = importlib.import_module(BACK_ENDS[settings.on])
    return lambda jobs, watch: module.run(jobs, settings, watch)


def _checked(cells, runner):
    """The reasons why runs are impossible, known when their models are made, and the cells of the others."""
    kinds = {}
    for cell in cells:
        kinds.setdefault(grid.key({**cell.config.settings, "seeds": []}), []).append(cell)
    jobs = {members[0].label: members for members in kinds.values()}
    impossible, possible = {}, []
    for outcome in runner([members[0].job("check") for members in jobs.values()]):
        members = jobs[outcome.job.name]
        if outcome.state == "failed":
            impossible.setdefault(outcome.error, []).extend(cell.label for cell in members)
        else:
            possible += members
    possible = {cell.label for cell in possible}
    return impossible, [cell for cell in cells if cell.label in possible]


def _train(cells, runner, screen):
    """Trains runs; returns `{label: directory}` of those that are complete, and the `Outcome`s of the others.

    A run that another process trains is waited for, after all others.
    """
    done = {}
    with Overview(len(cells), screen) as overview:
        waiting = _round(cells, runner, overview, done)
        while waiting:
            for cell in waiting:
                _wait_for(cell, screen)
            waiting = _round(waiting, runner, overview, done)
    return done, overview.failed


def _round(cells, runner, overview, done):
    """Trains runs once, adds the complete ones to `done`, and returns those that another process trains."""
    waiting, cells = [], {cell.label: cell for cell in cells}
    for outcome in runner([cell.job("train") for cell in cells.values()], overview):
        if postponed(outcome):
            waiting.append(cells[outcome.job.name])
        elif outcome.state == "done":
            done[outcome.job.name] = outcome.value["run"]
    return waiting


def _wait_for(cell, screen):
    """Waits until no other process has the directory of a run open."""
    if in_use(cell.config.directory):
        screen.print(f"{cell.label}: another process is training it in {cell.config.directory}; waiting.")
    while in_use(cell.config.directory):
        time.sleep(AGAIN)


def _tell(failed, done, screen):
    """Says which runs failed."""
    require(done or not failed, f"Every run failed; the last one: {failed and failed[-1].error}")
    if failed:
        screen.print(f"Not in the comparison, because they failed: {_runs(len(failed))}")
        for outcome in failed:
            screen.print(f"  {outcome.job.name}: {outcome.error}")


def _report(comparison, paths, screen):
    """Writes the tables, figures and page of the runs in `paths`, and shows the tables."""
    from keras_cl.report import tables
    from keras_cl.report.groups import grouped
    from keras_cl.report.write import write
    from keras_cl.runs.saved_run import read

    groups, settings = grouped(read(paths)), comparison.settings
    options = (settings.metrics, _baseline_left(comparison, groups, screen))
    with plain_file_errors(settings.out):
        written = write(groups, settings.out, settings.format, settings.style, *options, across=True)
    screen.print(tables.as_rich(tables.comparison(groups, *options, across=True)))
    for file in written:
        screen.print(str(file))
