"""Regimes, one file each; the last class of a file is the regime named like the file.

This package exports every class that these files define, so adding a regime means adding a file.
"""

from keras_cl._lazy import classes_on_demand

__getattr__, __dir__ = classes_on_demand(__name__, __path__)
