"""One layout, told in three places: the compiled core, layout.py, and the document for foreign readers."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from dolphin_mp.ipc import _core, layout

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "channel.md"


def documented(title: str) -> list[tuple[str, str, int]]:
    """The rows of the table under a heading of docs/channel.md as (name, type, offset)."""
    section = DOCUMENT.read_text().split(f"### {title}\n")[1].split("\n#")[0]
    rows = re.findall(r"^\| (\d+) \| `([^`]+)` \| `([^`]+)` \|", section, re.MULTILINE)
    return [(name, kind, int(offset)) for offset, kind, name in rows]


def test_the_document_has_the_header_as_the_code_has_it():
    assert documented("Header words") == list(layout.HEADER_FIELDS)


def test_the_document_has_the_slot_as_the_code_has_it():
    assert documented("Slot words") == list(layout.SLOT_FIELDS)


def test_the_tables_make_a_page_and_a_slot_without_overlaps():
    for dtype, size in ((layout.header_dtype(), layout.PAGE), (layout.slot_dtype(), layout.SLOT_HEADER)):
        assert dtype.itemsize == size
        ends = 0
        for name in dtype.names:
            kind, offset = dtype.fields[name]
            assert offset >= ends
            assert offset % min(kind.itemsize, 8) == 0, "a word must not straddle a boundary"
            ends = offset + kind.itemsize
        assert ends <= size


def test_what_changes_often_has_cache_lines_of_its_own():
    lines = {name: offset // 64 for name, _, offset in layout.HEADER_FIELDS}
    for hot in ("committed", "wake"):
        assert [name for name, line in lines.items() if line == lines[hot]] == [hot]


def test_the_core_uses_the_same_offsets():
    fields = layout.header_dtype().fields
    for name in ("committed", "wake", "epoch", "writer_pid", "writer_start", "claimed_ns", "retired"):
        assert getattr(_core, f"OFFSET_{name.upper()}") == fields[name][1]


def test_the_description_begins_behind_the_last_word():
    assert max(offset for _, _, offset in layout.HEADER_FIELDS) + 8 <= layout.DESCRIPTION_OFFSET


@pytest.mark.parametrize(
    "dtype",
    [
        *"?bhilqBHILQefdgFDG",
        ">f8",
        ">i2",
        "S7",
        "U3",
        "V5",
        "M8[ns]",
        "m8[25us]",
        "M8",
        [("bid", "f8"), ("ask", ">f8")],
        np.dtype([("a", "u1"), ("b", "f8")], align=True),
        [("levels", [("price", "f8"), ("size", "f4")], (5,)), ("t", "M8[ns]")],
        {"names": ["b", "a"], "formats": ["i4", "i2"], "offsets": [8, 2], "itemsize": 32},
        {"names": ["whole", "low"], "formats": ["u8", "u4"], "offsets": [0, 0]},
    ],
    ids=str,
)
def test_a_described_dtype_is_understood_again(dtype):
    kind = np.dtype(dtype)
    told = json.loads(json.dumps(layout.describe_dtype(kind)))
    assert layout.dtype_from_description(told) == kind
    assert layout.dtype_from_description(told).isalignedstruct == kind.isalignedstruct


@pytest.mark.parametrize("dtype", ["O", [("a", "f8"), ("b", "O")], "S0", "V0", "U0"], ids=str)
def test_a_dtype_that_can_not_lie_in_shared_memory_is_refused(dtype):
    with pytest.raises(TypeError, match="shared memory"):
        layout.describe_dtype(np.dtype(dtype))


@pytest.mark.parametrize(
    "data",
    [
        *(None, 5, "", "O", "|O", "f8", "<f3", "<f8,<f8", "(2)<f8", "<M8[eon]", "|S99999999999999999999"),
        *([], ["<f8"], ["<f8", [-1]], ["<f8", "x"], {}),
        {"names": ["a"], "formats": ["<f8"], "offsets": [0]},
        {"names": ["a"], "formats": ["<f8"], "offsets": [-8], "itemsize": 8},
        {"names": ["a", "a"], "formats": ["<f8", "<f8"], "offsets": [0, 8], "itemsize": 16},
        {"names": ["a"], "formats": ["<f8"], "offsets": [0], "itemsize": 4},
        {"names": 1, "formats": 2, "offsets": 3, "itemsize": 4},
    ],
    ids=str,
)
def test_a_description_of_no_dtype_is_a_value_error(data):
    with pytest.raises(ValueError, match="no dtype"):
        layout.dtype_from_description(data)


def test_a_description_nested_without_end_is_a_value_error():
    data: object = "<f8"
    for _ in range(5000):
        data = [data, [1]]
    with pytest.raises(ValueError, match="no dtype"):
        layout.dtype_from_description(data)


@pytest.mark.parametrize("keep", [1, 2, 3, 8, 1000])
@pytest.mark.parametrize("size", [1, 1024, layout.LARGE, 64 << 20])
def test_there_is_always_a_slot_more_than_kept_records(keep, size):
    assert layout.slot_count(keep, size) > keep
    assert layout.slot_count(keep, size) >= 4


@pytest.mark.parametrize("size", [1, 63, 64, 65, 4096, (64 << 20) + 1])
def test_slots_begin_on_cache_lines_and_hold_their_record(size):
    assert layout.slot_stride(size) % 64 == 0
    assert 0 <= layout.slot_stride(size) - layout.SLOT_HEADER - size < 64
