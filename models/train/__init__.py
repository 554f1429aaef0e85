"""The trainer: tasks, optimiser, and a state that survives interruptions."""
