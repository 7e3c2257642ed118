"""Devices that a step runs on: set-up, replicas of one step, several workers."""
