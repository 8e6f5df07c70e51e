"""Shard sets to batches of images."""
