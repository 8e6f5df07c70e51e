"""Waveforms to spectrograms."""

SAMPLE_RATE = 16_000
"""Sample rate of all waveforms in Hz."""
