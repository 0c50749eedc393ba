"""The parent's side: the one loop that starts, watches and stops processes, and the control socket."""
