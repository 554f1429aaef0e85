//! Accuracy: COCO OKS average precision and recall.
