"""The parts of the trainer: batches, losses in sum, evaluation, and a state that survives interruptions."""
