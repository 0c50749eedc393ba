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


def text(message: dict[str, Any], *keys: str) -> str | None:
    """Give the first of these that is text."""
    return next((found for key in keys if type(found := message.get(key)) is str), None)
