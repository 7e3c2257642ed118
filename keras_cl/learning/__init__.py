"""Parts of a training step: batches, replay, the compiled loop, layers, evaluation."""
