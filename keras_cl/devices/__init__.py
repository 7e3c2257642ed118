"""The device, or the devices, that a step runs on: set-up, replicas of one step, several workers."""
