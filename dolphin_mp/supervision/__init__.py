"""PURE: the state machine of a system's processes; events and a clock in, actions out."""
