"""Whether a process is stuck: a kernel timer that it keeps putting off, and that its parent sleeps on."""
