"""Probes: classifiers on the features of a frozen encoder."""
