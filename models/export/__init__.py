"""Networks as ONNX graphs, and the bundles that hold them."""
