"""The four networks in PyTorch, their backbones, and what they share."""
