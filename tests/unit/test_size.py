import pytest

from dolphin_mp.size import parse_size, show_excess, show_size

MIB = 1 << 20


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512MiB", 512 * MIB),
        ("1.5GiB", 1536 * MIB),
        ("2GB", 2_000_000_000),
        ("100 kB", 100_000),
        ("64KiB", 65536),
        ("7B", 7),
        (" 1TiB ", 1 << 40),
        ("0MiB", 0),
    ],
)
def test_a_number_and_a_unit_are_bytes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("512", 'write "512MiB"'),
        (512, 'write "512MiB"'),
        ("512M", 'write "512MiB"'),
        ("2g", 'write "2GiB"'),
        ("512mib", 'write "512MiB"'),
        ("5 parsecs", "is no unit of size"),
        ("-1MiB", "is no size"),
        ("1e3MiB", "is no size"),
        ("", "is no size"),
        ("٥MiB", "is no size"),
        ("9" * 30 + "TiB", "more than any machine has"),
        (None, "NoneType is no size"),
        (True, "bool is no size"),
        (["1MiB"], "list is no size"),
    ],
)
def test_anything_else_is_an_error_that_says_what_is_right(text, expected):
    with pytest.raises(ValueError, match=expected):
        parse_size(text)


def test_a_size_is_shown_in_the_largest_unit_it_fills():
    assert [show_size(size) for size in (0, 5, 1 << 10, 512 * MIB, 1536 * MIB)] == [
        "0 B",
        "5 B",
        "1 KiB",
        "512 MiB",
        "1.5 GiB",
    ]


def test_an_excess_is_in_the_limits_unit_and_never_looks_like_none():
    assert show_excess(612 * MIB, 512 * MIB) == "612 of 512 MiB"
    assert show_excess(512 * MIB + 1, 512 * MIB) == "512.1 of 512 MiB"
