"""Common parts of several families: drawing, transforms, pyramids, grey conversion and resizing."""
