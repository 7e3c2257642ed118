"""What a training step is made of: batches, replay, the compiled loop, layers, evaluation."""
