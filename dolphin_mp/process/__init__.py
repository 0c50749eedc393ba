"""The child's side: how a process is born, becomes a component, steps and ends."""
