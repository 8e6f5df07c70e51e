"""What several families share: drawing, transforms, pyramids, grey conversion and resizing."""
