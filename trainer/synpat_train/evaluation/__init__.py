"""Evaluation of an encoder on recorded sound: tasks, frozen features, probes, and the command `synpat-eval`."""
