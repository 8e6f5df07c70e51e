"""Pre-training: the loop, its run folder and the `synpat-train` command."""
