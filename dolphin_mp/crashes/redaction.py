"""PURE: a configuration without its secrets, and their traces in any text."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

MASK = "[redacted]"
SHORTEST = 6  # a shorter secret is not looked for in texts: too much else reads the same

_WORDS = frozenset(
    {
        "key", "keys", "secret", "secrets", "token", "tokens", "pass", "password", "passwords", "passwd",
        "pwd", "passphrase", "auth", "authorization", "credential", "credentials", "private", "cookie",
        "cookies", "bearer", "signature", "dsn", "jwt", "mnemonic", "pin", "otp", "cert",
    }
)  # fmt: skip
_PARTS = re.compile(r"secret|token|passw|passphrase|credential|apikey|authoriz|privatekey", re.IGNORECASE)
_ENVIRONMENT = frozenset({"env", "environ", "environment"})
_NAME_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_IN_TEXT = (
    re.compile(r"(?<=://)[^/\s@'\"]+(?=@)"),  # what stands before a URL's host
    re.compile(r"(?i)(?<=bearer )[\w.~+/=-]{6,}"),
    re.compile(
        r"(?i)[?&][\w-]*(?:key|secret|token|password|passwd|pwd|auth|signature|sig)=(?P<value>[^&\s'\"#]+)"
    ),
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"),
)


@dataclass
class Redactor:
    """Masks secrets, and remembers those it has seen, to mask them in texts as well.

    Attributes: found: the secrets' own texts.
    """

    found: set[str] = field(default_factory=set)

    def mask(self, value: Any, *, secret: bool = False) -> Any:
        """Give plain data with every value masked whose key tells a secret, and what texts give away."""
        if isinstance(value, dict):
            return {key: self.mask(item, secret=secret or is_secret(str(key))) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.mask(item, secret=secret) for item in value]
        if secret and value is not None and not isinstance(value, bool):
            self._remember(str(value))
            return MASK
        return self._mask_text(value) if isinstance(value, str) else value

    def scrub(self, text: str) -> str:
        """Give a text without the secrets found so far, and without what looks like one."""
        for secret in sorted(self.found, key=len, reverse=True):
            text = text.replace(secret, MASK)
        return self._mask_text(text)

    def scrub_all(self, value: Any) -> Any:
        """Give plain data, as of a log's record, with all its texts scrubbed and secret keys masked."""
        if isinstance(value, dict):
            return {
                key: self.mask(item, secret=True) if is_secret(str(key)) else self.scrub_all(item)
                for key, item in value.items()
            }
        if isinstance(value, (list, tuple)):
            return [self.scrub_all(item) for item in value]
        return self.scrub(value) if isinstance(value, str) else value

    def _mask_text(self, text: str) -> str:
        for form in _IN_TEXT:
            text = form.sub(self._masked, text)
        return text

    def _masked(self, match: re.Match[str]) -> str:
        whole = match.group()
        value = match.groupdict().get("value") or whole
        for part in value.split(":") if whole == value else [value]:
            self._remember(part)
        return whole[: len(whole) - len(value)] + MASK

    def _remember(self, secret: str) -> None:
        if len(secret) >= SHORTEST and secret != MASK:
            self.found |= {secret, repr(secret)[1:-1]}  # errors quote it as Python writes it


def is_secret(key: str) -> bool:
    """Tell whether what stands under that key is to be masked; of an environment, all is."""
    words = {word.lower() for word in _NAME_PARTS.findall(key)}
    joined = re.sub(r"[\W_]", "", key)
    return bool(words & (_WORDS | _ENVIRONMENT)) or _PARTS.search(joined) is not None
