"""What tells whether code or options changed: the same text, the same digest; another, another."""

import importlib
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dolphin_mp import Component
from dolphin_mp.checking.digest import code_digest, option_digests


@dataclass
class Inner:
    depth: int = 1
    words: frozenset = frozenset("abcdefgh")


@dataclass
class Options:
    key: str = "secret"
    inner: Inner = field(default_factory=Inner)
    limits: dict = field(default_factory=lambda: {"a": 1, "b": [1, 2]})


def test_options_have_a_digest_each_by_their_dotted_names():
    found = dict(option_digests(Options()))
    assert set(found) == {"key", "inner.depth", "inner.words", "limits.a", "limits.b"}
    assert "secret" not in str(found)
    assert option_digests(None) == ()


def test_only_what_changed_has_another_digest():
    was, now = dict(option_digests(Options())), dict(option_digests(Options(inner=Inner(2))))
    assert {name for name in was if was[name] != now[name]} == {"inner.depth"}


def test_a_set_is_the_same_in_whatever_order():
    one, other = Inner(words=frozenset([0, 8])), Inner(words=frozenset([8, 0]))
    assert [*one.words] != [*other.words]
    assert option_digests(one) == option_digests(other)


@pytest.fixture
def code(tmp_path, monkeypatch):
    """Give a function that writes modules and gives the digest of parts.Part."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def code(**modules):
        for name, text in modules.items():
            Path(tmp_path, f"{name}.py").write_text(text)
        for name in ("parts", "helper", "base", "apart"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        return code_digest(importlib.import_module("parts").Part, str(tmp_path))

    yield code
    for name in ("parts", "helper", "base", "apart"):
        sys.modules.pop(name, None)


def test_the_code_of_a_class_is_its_module_and_what_that_imports_beside_it(code):
    parts = "from base import Base\n\n\nclass Part(Base):\n    every = '1s'\n"
    base = (
        "import os\nimport helper\nfrom dolphin_mp import Component\n\n\nclass Base(Component):\n    pass\n"
    )
    first = code(parts=parts, base=base, helper="X = 1\n", apart="X = 1\n")
    assert code() == first
    assert code(apart="X = 2\n") == first, "nobody imports it"
    found = [first, code(parts=parts + "# more\n"), code(base=base + "# more\n"), code(helper="X = 3\n")]
    assert len(set(found)) == 4


def test_a_class_that_travels_by_value_has_no_digest():
    class Part(Component):
        every = "1s"

    assert code_digest(Part, "") == ""
