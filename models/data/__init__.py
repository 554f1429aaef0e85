"""What the networks learn from: generated people and objects, crops, batches."""
