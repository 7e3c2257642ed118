"""Numbers and arrays alone: counter-based random numbers, schedules, least squares, CutMix."""
