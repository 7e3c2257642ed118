"""Continual-learning methods, one file each; a file's last class is the method that its name stands for."""

from keras_cl.methods.cumulative import Cumulative
from keras_cl.methods.ewc import EWC
from keras_cl.methods.finetune import Finetune
from keras_cl.methods.joint import Joint

__all__ = ["EWC", "Cumulative", "Finetune", "Joint"]
