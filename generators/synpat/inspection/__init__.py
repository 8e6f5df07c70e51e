"""Inspection of patterns and shard sets: contact sheets, previews, statistics."""
