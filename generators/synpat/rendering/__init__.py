"""Rendering of samples, shards and shard sets, on one machine or many."""
