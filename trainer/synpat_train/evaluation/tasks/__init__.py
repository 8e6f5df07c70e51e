"""Evaluation tasks: benchmarks, folders of audio and embedded data."""
