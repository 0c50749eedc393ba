"""PURE: files of environment variables, read strictly: what a shell could read otherwise is a fault.

A line is empty, a comment (its first character is #), or ``NAME=VALUE`` with an optional ``export`` before
it. A value is plain, 'literal' or "with escapes"; nothing is ever replaced in it. No fault's text holds a
value: they are secrets more often than not.
"""

from __future__ import annotations

import re

_LINE = re.compile(r"(?:export[ \t]+)?([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)
_PLAIN = re.compile(r"[^\s'\"`$#\\]*")
_LITERAL = re.compile(r"'([^']*)'")
_ESCAPED = re.compile(r'"((?:[^"\\$`]|\\.)*)"')
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$", "`": "`"}
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class EnvFileError(Exception):
    """A file that can't be taken; the text says which line and why, and shows no value."""


def parse_env(text: str) -> dict[str, str]:
    """Give the variables of a file's text; raises EnvFileError with the first fault's line number."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            name, value = _parse_line(line.strip(" \t\r"))
        except EnvFileError as error:
            raise EnvFileError(f"line {number}: {error}") from None
        if name in found:
            raise EnvFileError(f"line {number}: {name} is there twice")
        found[name] = value
    return found


def read_env(path: str) -> dict[str, str]:
    """Give the variables of a file; raises EnvFileError naming it."""
    try:
        with open(path, encoding="utf-8", newline="") as file:  # noqa: PTH123 - a child imports no pathlib for it
            return parse_env(file.read())
    except EnvFileError as error:
        raise EnvFileError(f"{path}: {error}") from None
    except UnicodeDecodeError as error:
        raise EnvFileError(f"{path}: not UTF-8 at byte {error.start}") from None
    except FileNotFoundError:
        raise EnvFileError(f"{path}: no such file") from None
    except OSError as error:
        raise EnvFileError(f"{path}: can't be read: {error.strerror}") from None


def _parse_line(line: str) -> tuple[str, str]:
    form = _LINE.fullmatch(line)
    if form is None:
        name = line.partition("=")[0].strip() if "=" in line else ""
        hint = f" ({name}: no blank may stand before the =)" if NAME.fullmatch(name) else ""
        raise EnvFileError(f"is not NAME=VALUE{hint}")
    name, rest = form.groups()
    if "\0" in rest:
        raise EnvFileError(f"{name} holds a NUL")
    if rest[:1] == "'":
        return name, _quoted(name, _LITERAL.fullmatch(rest), "'")
    if rest[:1] == '"':
        return name, _unescaped(name, _quoted(name, _ESCAPED.fullmatch(rest), '"'))
    if not _PLAIN.fullmatch(rest):
        raise EnvFileError(
            f"the value of {name} has a blank, quote, #, $, ` or \\ in it: put it in 'single quotes'"
        )
    return name, rest


def _quoted(name: str, form: re.Match[str] | None, quote: str) -> str:
    if form is None:
        more = " ($ and ` are written \\$ and \\`)" if quote == '"' else ""
        raise EnvFileError(f"the value of {name} does not end with its {quote}, on this line{more}")
    return form[1]


def _unescaped(name: str, text: str) -> str:
    def replace(form: re.Match[str]) -> str:
        if form[1] not in _ESCAPES:
            raise EnvFileError(
                f'the value of {name} has an escape that is none of \\n \\r \\t \\" \\\\ \\$ \\`'
            )
        return _ESCAPES[form[1]]

    return re.sub(r"\\(.)", replace, text)
