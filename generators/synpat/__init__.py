"""Synthetic patterns for pre-training audio encoders: families, samples, shard sets."""
