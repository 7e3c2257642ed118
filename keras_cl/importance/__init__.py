"""Importance of each weight for earlier tasks: gradient moments, Fisher information, penalties."""

from keras_cl.importance.fisher import Fisher
from keras_cl.importance.moments import Moments, Signals
from keras_cl.importance.penalty import QuadraticPenalty
from keras_cl.importance.sensitivity import MeanSensitivity

__all__ = ["Fisher", "MeanSensitivity", "Moments", "QuadraticPenalty", "Signals"]
