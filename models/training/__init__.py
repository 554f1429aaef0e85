"""The parts of the trainer: batches, losses in sum, evaluation, and the state that survives an interruption."""
