"""What tells whether a component's code or options changed between two checks, without keeping either."""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dolphin_mp.component import Component
from dolphin_mp.loader import is_importable

if TYPE_CHECKING:
    from collections.abc import Iterator

_LIBRARIES = "site-packages"


def option_digests(options: object) -> tuple[tuple[str, str], ...]:
    """Give a digest of each option by its dotted name: a plan must not spread secrets."""
    return tuple((name, _digest(repr(value).encode())) for name, value in _leaves(options))


def _leaves(value: object, name: str = "") -> Iterator[tuple[str, object]]:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        items: Any = ((f.name, getattr(value, f.name, None)) for f in dataclasses.fields(value))
    elif isinstance(value, Mapping):
        items = value.items()
    else:
        if name:
            # the order of a set's elements differs from process to process
            yield name, sorted(value, key=repr) if isinstance(value, set | frozenset) else value
        return
    for key, part in items:
        yield from _leaves(part, f"{name}.{key}" if name else str(key))


def code_digest(found: type[Component], folder: str) -> str:
    """Give a digest of the source files that make the class: its own and its bases', and what these import.

    Imports are followed through the modules under `folder`. A class that travels by value has none: "".
    """
    if not is_importable(found):
        return ""
    names = dict.fromkeys(base.__module__ for base in found.__mro__ if base not in {object, Component})
    todo, contents = list(names), {}
    while todo:
        name = todo.pop()
        path = getattr(sys.modules.get(name), "__file__", None)
        if name in contents or path is None or not (name in names or _is_under(path, folder)):
            continue
        try:
            contents[name] = Path(path).read_bytes()
        except OSError:
            contents[name] = b""
        if _is_under(path, folder):
            todo += _imports(name, contents[name])
    return _digest(b"\0".join(part for name in sorted(contents) for part in (name.encode(), contents[name])))


def _is_under(path: str, folder: str) -> bool:
    return bool(folder) and Path(path).is_relative_to(folder) and _LIBRARIES not in Path(path).parts


def _imports(module: str, content: bytes) -> list[str]:
    """Give the modules that a module's text imports, and what may be one."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        return []
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = getattr(sys.modules.get(module), "__package__", None) or ""
            try:
                source = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            except ImportError:
                continue
            found += [source, *(f"{source}.{alias.name}" for alias in node.names)]
    return found


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=8).hexdigest()
