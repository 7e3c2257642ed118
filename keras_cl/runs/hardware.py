"""The devices of a run: one that was begun on a GPU does not go on on a CPU without a word."""

from keras_cl.devices import device
from keras_cl.errors import require
from keras_cl.runs.files import read_json


def moved(directory, chosen=""):
    """Compares this device with the one that a run was on before, and records a new one in config.json.

    Rounding differs from device to device, so that the same seed gives other numbers.

    Args:
      directory: the open `RunDirectory`.
      chosen: the setting `device`; "" if there is none, in a loop from Python.

    Returns:
      a sentence about the change; "" if there is none.

    Raises:
      InputError: if the device is another one that was not asked for, or was asked for too late.
    """
    now, path = device.kind(), directory.path / "config.json"
    config = read_json(path) if path.exists() else {}
    before = config.get("devices")
    recorded = isinstance(before, list) and before
    only_shown = directory.done and chosen in ("auto", "")
    if not recorded or before[-1] == now or only_shown:
        return ""
    on = f"{directory.path} holds a run on a {str(before[-1]).upper()}"
    require(
        not directory.done,
        f"{on}, which is finished; give another --run_dir, or --overwrite to train it on a {now.upper()}.",
    )
    require(
        chosen != "auto",
        f"{on}, and this is a {now.upper()}, which rounds otherwise; give --device={now} to go on here.",
    )
    directory.write_json("config.json", {**config, "devices": [*before, now]})
    return f"{on} that goes on on a {now.upper()}: its numbers are no longer those of one device."
