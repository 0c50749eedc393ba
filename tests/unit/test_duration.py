import pytest

from dolphin_mp.duration import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5ms", 0.005),
        ("10s", 10.0),
        ("4h", 14400.0),
        ("1.5s", 1.5),
        ("250us", 0.00025),
        ("250µs", 0.00025),
        ("2m", 120.0),
        ("1d", 86400.0),
        ("100ns", 1e-7),
        (" 3 s ", 3.0),
        ("0s", 0.0),
    ],
)
def test_a_number_and_a_unit_are_seconds(text, seconds):
    assert parse_duration(text) == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize(
    "text",
    ["", "s", "5", "5 parsecs", "-1s", "1h30m", "1e3s", "5S", "٥s", ".5s", "nans", "9" * 400 + "s", "36526d"],
)
def test_any_other_text_is_an_error_that_says_what_is_right(text):
    with pytest.raises(ValueError, match=r"write a number and a unit"):
        parse_duration(text)


@pytest.mark.parametrize("number", [5, 0.5, 0])
def test_a_bare_number_is_an_error_that_shows_it_with_a_unit(number):
    with pytest.raises(ValueError, match=rf'has no unit: write "{number}s"'):
        parse_duration(number)


@pytest.mark.parametrize("value", [None, True, [], {}])
def test_what_is_no_text_is_an_error(value):
    with pytest.raises(ValueError, match="no duration"):
        parse_duration(value)
