"""Memories, one file each; a file's last class is the memory that its name stands for.

Every class that a file here defines is a name of this package, so that adding a memory is adding a file.
"""

from keras_cl._lazy import classes_on_demand

__getattr__, __dir__ = classes_on_demand(__name__, __path__)
