"""Looking at patterns and shard sets: contact sheets, previews, statistics."""
