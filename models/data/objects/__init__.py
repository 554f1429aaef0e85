"""Objects of many kinds with keypoints, generated: what CapeFormer learns to find from examples."""
