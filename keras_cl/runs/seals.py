"""The file DONE of a finished folder: the checksums of its files, and whose they are.

A checkpoint and an exported model name their run, its seeds and settings, and the task; so a folder that was
exchanged, copied from another run or left from before --overwrite is recognised.
"""

from keras_cl.runs.files import as_json, checksums, read_json, replace
from keras_cl.settings.config import digest

DONE = "DONE"


def identity_of(config):
    """What DONE says of a run, from the dict in its config.json."""
    settings = config["settings"]
    return {"run": config.get("run"), "seeds": settings.get("seeds"), "settings": digest(settings)}


def seal(folder, names, **facts):
    """Writes DONE in a folder: `facts` that identify it, and the checksums of the files `names`."""
    content = as_json({**facts, "files": checksums(folder, sorted(names))})
    if not (folder / DONE).is_file() or (folder / DONE).read_text(errors="replace") != content:
        replace(folder / DONE, content)


def seal_all(folder, **facts):
    """Writes DONE in a folder for all files below it."""
    files = [file for file in folder.rglob("*") if file.is_file() and file != folder / DONE]
    seal(folder, [file.relative_to(folder).as_posix() for file in files], **facts)


def read_seal(folder):
    """The dict in DONE; None if it is missing or damaged, or has no checksums."""
    try:
        content = read_json(folder / DONE)
    except (OSError, ValueError):
        return None
    return content if isinstance(content.get("files"), dict) else None


def changed(folder):
    """Names of the files that are not as DONE says; None without a readable DONE."""
    done = read_seal(folder)
    if done is None:
        return None
    found = checksums(folder, done["files"])
    return [name for name, value in done["files"].items() if found[name] != value]
