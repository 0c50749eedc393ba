import json
import math

import pytest

from dolphin_mp.wire import decode, encode


@pytest.mark.parametrize("text", ["\udcff of a file's name", "naïve"])
def test_any_text_is_said(text):
    assert json.loads(encode({"reason": text})) == {"reason": text}


def test_whole_numbers_of_any_size_are_said():
    assert json.loads(encode({"id": 1 << 70})) == {"id": 1 << 70}


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_what_is_no_number_is_null(number):
    assert decode(encode({"value": number})) == {"value": None}


@pytest.mark.parametrize("text", [b"", b"{", b"NaN", b'{"a": Infinity}', b"\xff", b"[" * 5000])
def test_what_is_no_json_is_refused(text):
    with pytest.raises(ValueError):  # noqa: PT011 - orjson's own
        decode(text)
