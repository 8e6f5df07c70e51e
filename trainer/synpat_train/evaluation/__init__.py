"""What an encoder is worth on recorded sound: tasks, frozen features, probes, and the command `synpat-eval`."""
