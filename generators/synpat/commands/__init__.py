"""The commands of `synpat`, one file a group."""
