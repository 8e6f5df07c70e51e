"""Fine-tuning of an encoder on a task."""
