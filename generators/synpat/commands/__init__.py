"""The commands of `synpat`, one file for each group."""
