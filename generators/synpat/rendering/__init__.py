"""Rendering: one sample, one shard, one shard set, on one machine or many."""
