"""The models that are served: their versions come, go and are leased to requests."""

import contextlib
import dataclasses
import gc
import threading
import time
import types
from collections.abc import Callable

from keras_cl.serve.batching import Batching
from keras_cl.serve.errors import ServingError
from keras_cl.serve.model_config import require_labels
from keras_cl.serve.version import Version, fingerprint, versions_in

NO_VERSIONS = types.MappingProxyType({})


@dataclasses.dataclass(frozen=True)
class VersionStatus:
    """State of a version, as TensorFlow Serving reports it.

    Attributes:
      version: its number.
      state: START, LOADING, AVAILABLE, UNLOADING or END.
      error_code: "OK", or the code of the error with which it was refused.
      error_message: "", or why it was refused.
    """

    version: int
    state: str
    error_code: str = "OK"
    error_message: str = ""


@dataclasses.dataclass(frozen=True)
class Options:
    """How models are kept.

    Args:
      batching: `Batching` of concurrent requests.
      poll_seconds: seconds between two looks at the folders; at 0 they are looked at once.
      report: called with a sentence when a version is available, refused or unloaded.
    """

    batching: Batching = Batching()
    poll_seconds: float = 1.0
    report: Callable = lambda sentence: None


class Models:
    """Versions of models, loaded and unloaded as their folders and the configuration change.

    All methods can be called from any thread.

    Args:
      configs: list of `ModelConfig`.
      options: `Options`.
    """

    def __init__(self, configs, options=None):
        self._options = options or Options()
        self._configs, self._labels = {config.name: config for config in configs}, {}
        self._versions = {config.name: {} for config in configs}  # dicts by number; replaced, never changed
        self._looked = set()  # names of models whose folder was looked at
        self._seen = {}  # fingerprints of versions at the last look
        self._polling, self._ended = threading.RLock(), threading.Event()
        self._thread = None

    # ---- requests ----------------------------------------------------------------------------------------

    def names(self):
        """Sorted names of the models."""
        return sorted(self._configs)

    def statuses(self, name, version=None, label=None):
        """`VersionStatus`es of a model, the latest first, or of one of its versions.

        Raises:
          ServingError: NOT_FOUND for a model or version of which nothing is known.
        """
        if label is not None:
            version = self._labelled(name, label)
        known = self._versions.get(name, NO_VERSIONS)
        if version is not None and version not in known:
            raise ServingError("NOT_FOUND", f"Could not find version {version} of model {name}")
        if not known:
            raise ServingError("NOT_FOUND", f"Could not find any versions of model {name}")
        numbers = [version] if version is not None else sorted(known, reverse=True)
        return [_status(known[number]) for number in numbers]

    @contextlib.contextmanager
    def leased(self, name, version=None, label=None):
        """Yields the `Servable` of a version, or of the latest; it stays loaded until the block ends.

        Raises:
          ServingError: NOT_FOUND if there is none, INVALID_ARGUMENT for an unknown label.
        """
        held, servable = self._acquired(name, version, label)
        try:
            yield servable
        finally:
            held.release()

    def _acquired(self, name, version, label):
        if not name:
            raise ServingError("INVALID_ARGUMENT", "ModelSpec has no name specified.")
        if label is not None:
            version = self._labelled(name, label)
        known = None  # versions may come and go while one is looked for
        while known is not self._versions.get(name, NO_VERSIONS):
            known = self._versions.get(name, NO_VERSIONS)
            for number in sorted(known, reverse=True) if version is None else [version]:
                servable = known[number].acquire() if number in known else None
                if servable is not None:
                    return known[number], servable
        asked = f"Latest({name})" if version is None else f"Specific({name}, {version})"
        raise ServingError("NOT_FOUND", f"Servable not found for request: {asked}")

    def _labelled(self, name, label):
        number = self._labels.get(name, {}).get(label)
        if number is None:
            raise ServingError("INVALID_ARGUMENT", f"Unrecognized servable version label: {label}")
        return number

    # ---- life --------------------------------------------------------------------------------------------

    def start(self):
        """Loads what is there, then watches the folders until `stop`.

        Raises:
          ServingError: if a label stands for a version that is not available.
        """
        self.poll()
        self._take_labels()
        if self._options.poll_seconds > 0:
            self._thread = threading.Thread(target=self._watch, name="models", daemon=True)
            self._thread.start()

    def stop(self, seconds=30.0):
        """Takes no more requests, and waits for those in progress; returns whether all have ended."""
        deadline = time.monotonic() + seconds
        self._ended.set()
        if self._thread:
            self._thread.join(seconds)
        versions = [version for known in self._versions.values() for version in known.values()]
        for version in versions:
            version.unload()
        return all(version.wait(max(0, deadline - time.monotonic())) for version in versions)

    def reload(self, configs):
        """Serves other models or versions; returns when they are available.

        Raises:
          ServingError: if a model has no available version, or a label stands for none.
        """
        with self._polling:
            self._configs = {config.name: config for config in configs}
            self._versions = {name: {} for name in self._configs} | self._versions
            self.poll(settled=True)
            missing = [config.name for config in configs if not self._available(config.name)]
            if missing:
                listed = ", ".join(f"{{name: {name}}}" for name in missing)
                message = f"{len(missing)} model(s) did not become available: {{{listed}}}"
                raise ServingError("UNKNOWN", message)
            self._take_labels()

    def _take_labels(self):
        require_labels(self._configs.values(), self._available)
        self._labels = {config.name: config.labels for config in self._configs.values()}

    def _available(self, name):
        return {number for number, version in self._versions[name].items() if version.state == "AVAILABLE"}

    def _watch(self):
        while not self._ended.wait(self._options.poll_seconds):
            try:
                self.poll()
            except Exception as error:  # the next look may succeed
                self._options.report(f"The folders could not be looked at: {type(error).__name__}: {error}")

    # ---- one look at the folders -------------------------------------------------------------------------

    def poll(self, settled=False):
        """Looks at the folders once: loads what is new, then unloads what is no longer wanted.

        A version that comes while others are served is loaded when two looks find the same files, so that one
        that is being copied is left alone.

        Args:
          settled: whether what is there is whole.
        """
        with self._polling:
            ended = 0
            for name in list(self._versions):
                config = self._configs.get(name)
                found = versions_in(config.base_path) if config else {}
                if found is None:
                    continue  # a folder that is away for a moment takes no model away
                ended += self._poll_model(name, config, found, settled or name not in self._looked)
                self._looked.add(name)
            if ended:
                gc.collect()

    def _poll_model(self, name, config, found, settled):
        """Loads and unloads versions of a model; returns how many were unloaded."""
        wanted, whole = set(), dict(found)
        while whole:
            wanted = set(config.policy.choose(whole))
            # A version that cannot be served gives its place to the next one.
            refused = [number for number in wanted if not self._served(name, number, found[number], settled)]
            if not refused:
                break
            whole = {number: folder for number, folder in whole.items() if number not in refused}
        else:
            wanted = set()
        available = self._available(name)
        if found and config.policy.choose(found) and not wanted & available:
            return 0  # what is wanted is not there yet: the old version goes on
        for number in sorted(available - wanted):
            self._versions[name][number].unload()
            self._options.report(f"{name}: version {number} is unloaded")
        return len(available - wanted)

    def _served(self, name, number, folder, settled):
        """Whether a version is available; loads it if it is new, or was refused and has changed since."""
        version = self._versions[name].get(number)
        if version and version.state == "AVAILABLE":
            return True
        if version and version.state == "UNLOADING":
            return False
        files = fingerprint(folder)
        if files is None or (version and version.error and version.fingerprint == files):
            return False
        before = self._seen.get((name, number))
        self._seen[name, number] = files
        if not settled and before != files:
            return False
        version = Version(number, folder)
        self._versions[name] = {**self._versions[name], number: version}
        version.load(name, self._options.batching)
        # A request that saw it load, and comes too late for the version that it replaces, looks again.
        self._versions[name] = dict(self._versions[name])
        said = "is available" if not version.error else f"is refused: {version.error.message}"
        self._options.report(f"{name}: version {number} {said}")
        return version.error is None


def _status(version):
    error = version.error
    if error is None:
        return VersionStatus(version.number, version.state)
    return VersionStatus(version.number, version.state, error.code, error.message)
