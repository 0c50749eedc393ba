"""From a configuration to a plan: what is used only while a system is being checked."""
