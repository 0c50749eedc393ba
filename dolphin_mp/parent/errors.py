"""Why a launch does not come about."""

from __future__ import annotations


class LaunchError(Exception):
    """The system can't be launched; the text is one line that says what to do."""


class RunningError(LaunchError):
    """The system, or a part of it, is running already."""
