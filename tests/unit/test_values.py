"""A record's bytes as plain values, held against numpy's own reading of them."""

import json
import math
from typing import Any

import numpy as np
import pytest

from dolphin_mp.ipc.layout import describe_dtype
from dolphin_mp.values import decode


def plain(array: Any) -> Any:
    """What decode makes of an array, by way of JSON, as a program gets it."""
    array = np.asarray(array)
    description = json.loads(json.dumps(describe_dtype(array.dtype)))
    value = decode(description, array.shape, array.tobytes())
    assert json.loads(json.dumps(value, allow_nan=False)) == value
    return value


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"])
def test_numbers_of_every_size_and_order(order: str, kind: str) -> None:
    values = np.array([0, 1, 2, 100], dtype=order + kind)
    assert plain(values) == values.tolist()


@pytest.mark.parametrize("kind", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"])
def test_integers_at_their_limits(kind: str) -> None:
    limits = np.iinfo(kind)
    assert plain(np.array([limits.min, limits.max], kind)) == [limits.min, limits.max]


def test_bools_are_bools() -> None:
    assert plain(np.array([True, False])) == [True, False]
    assert plain(np.bool_(True)) is True


@pytest.mark.parametrize("kind", ["f2", "f4", "f8", ">f8", "f16"])
def test_nan_is_null_and_infinities_are_text(kind: str) -> None:
    assert plain(np.array([math.nan, math.inf, -math.inf, 1.5], kind)) == [None, "inf", "-inf", 1.5]


@pytest.mark.parametrize("kind", ["c8", "c16", ">c16", "c32"])
def test_complex_numbers_are_pairs(kind: str) -> None:
    assert plain(np.array([1 + 2j, complex(math.nan, -math.inf)], kind)) == [[1.0, 2.0], [None, "-inf"]]


def test_bytes_and_text_are_text() -> None:
    assert plain(np.array([b"BTC", b"\xff\x00x", b""], "S8")) == ["BTC", "\ufffd\0x", ""]
    assert plain(np.array(["Ω", "two\0"], "<U4")) == ["Ω", "two"]
    assert plain(np.array(["Ω"], ">U4")) == ["Ω"]
    assert plain(np.frombuffer(b"\x01\xfe", "V2")) == ["01fe"]


def test_text_that_is_no_text_is_replaced() -> None:
    assert decode("<U2", (), b"\xff\xff\xff\xff" + b"a\0\0\0") == "\ufffda"


def test_a_record_is_an_object_by_field() -> None:
    dtype = np.dtype([("bid", "f8"), ("symbol", "S12"), ("n", ">i4")])
    record = np.array((99.5, b"BTC", 7), dtype)
    assert plain(record) == {"bid": 99.5, "symbol": "BTC", "n": 7}


def test_records_nest_hold_arrays_and_padding() -> None:
    inner = np.dtype([("x", "u1"), ("y", "f8")], align=True)
    dtype = np.dtype([("a", inner, (2,)), ("m", "i2", (2, 3)), ("flag", "?")], align=True)
    record = np.zeros((2,), dtype)
    record["a"]["y"] = 2.5
    record["m"][1] = np.arange(6).reshape(2, 3)
    one = {"x": 0, "y": 2.5}
    assert plain(record) == [
        {"a": [one, one], "m": [[0, 0, 0], [0, 0, 0]], "flag": False},
        {"a": [one, one], "m": [[0, 1, 2], [3, 4, 5]], "flag": False},
    ]


def test_arrays_of_any_dimension_are_lists() -> None:
    array = np.arange(24.0).reshape(2, 3, 4)
    assert plain(array) == array.tolist()
    assert plain(np.zeros((2, 0, 3))) == np.zeros((2, 0, 3)).tolist()


@pytest.mark.parametrize("unit", ["Y", "M", "D", "h", "m", "s", "ms", "us", "ns"])
@pytest.mark.parametrize("text", ["2024-02-29T12:34:56.123456789", "1969-12-31T23:59:59.999999999"])
def test_times_are_iso_text_as_precise_as_their_unit(unit: str, text: str) -> None:
    moment = np.datetime64(text, "ns").astype(f"M8[{unit}]")
    got = plain(moment)
    assert isinstance(got, str)
    assert np.datetime64(got.removesuffix("Z"), unit) == moment


def test_times_with_a_factor_and_without_time() -> None:
    assert plain(np.array([3], "M8[10ms]")) == ["1970-01-01T00:00:00.030Z"]
    assert plain(np.array(["NaT"], "M8[ns]")) == [None]
    assert plain(np.array([1 << 61], "M8[s]")) == [f"{1 << 61} s"]


def test_spans_are_a_number_with_its_unit() -> None:
    assert plain(np.array([1500, "NaT"], "m8[ms]")) == ["1500 ms", None]
    assert plain(np.array([3], ">m8[10s]")) == ["30 s"]


@pytest.mark.parametrize(
    "description", ["", "<f7", "<q8", {}, {"names": ["a"]}, ["<f8"], 3, None, [["<f8", [1]], "x"]]
)
def test_a_description_of_nothing_is_refused(description: Any) -> None:
    with pytest.raises(ValueError, match="no such dtype"):
        decode(description, (), b"\0" * 64)


@pytest.mark.parametrize("kind", ["<f8", "|S16", "<U4", "<M8[s]", "<c16", "<f16"])
def test_bytes_that_are_too_few_are_refused(kind: str) -> None:
    with pytest.raises(ValueError, match=r"fits no such dtype|buffer"):
        decode(kind, (4,), b"\0" * 17)
