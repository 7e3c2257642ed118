"""Augmentations of images, one file each; the last class of a file is the augmentation named like the file.

This package exports every class that these files define, so adding an augmentation means adding a file.
"""

from keras_cl._lazy import classes_on_demand

__getattr__, __dir__ = classes_on_demand(__name__, __path__)
