"""Waveforms to spectrograms."""
