"""Importance of each weight for earlier tasks: gradient moments, Fisher information, penalties."""
