"""One page per run, rendered from recorded numbers."""
