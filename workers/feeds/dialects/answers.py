"""What a venue's answers have in common: they are JSON objects, or are none and say nothing."""

from __future__ import annotations

from typing import Any

from dolphin_mp.workers.books import texts


def object_of(payload: bytes) -> dict[str, Any]:
    """Give the object that a message is; an empty one if it is anything else."""
    try:
        message = texts.decode(payload)
    except ValueError:
        return {}
    return message if type(message) is dict else {}


def inner(message: dict[str, Any], key: str) -> dict[str, Any]:
    """Give an object within an object; an empty one if it is anything else."""
    found = message.get(key)
    return found if type(found) is dict else {}


def items(message: dict[str, Any], key: str) -> list[Any]:
    """Give a list within an object; an empty one if it is anything else."""
    found = message.get(key)
    return found if type(found) is list else []


def text(message: dict[str, Any], key: str) -> str | None:
    """Give a text within an object; None if it is anything else."""
    found = message.get(key)
    return found if type(found) is str else None


def whole(message: dict[str, Any], key: str) -> int | None:
    """Give a whole number within an object, which may be written as text; None if it is anything else."""
    found = message.get(key)
    if type(found) is str and found.isascii() and found.isdigit() and len(found) <= 16:
        found = int(found)
    return found if type(found) is int else None
