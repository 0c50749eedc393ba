"""What is kept of a crash: gathered by the parent at once, written by a process of its own, read."""
