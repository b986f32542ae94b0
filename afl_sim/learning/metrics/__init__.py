"""Metrics of a model's outputs: sums of float64, the same however the samples come in batches."""
