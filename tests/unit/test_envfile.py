import pytest

from dolphin_mp.envfile import EnvFileError, parse_env, read_env


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=1", "1"),
        ("  export A=1  ", "1"),
        ("A=", ""),
        ("A=''", ""),
        ("A=https://x.y/z?a=b&c=d", "https://x.y/z?a=b&c=d"),
        ("A='a b # $c \"d\" \\n'", 'a b # $c "d" \\n'),
        (r'A="a b # \$c \"d\" \\ \n\t"', 'a b # $c "d" \\ \n\t'),
        ("A=1\r", "1"),
        ("A=grün", "grün"),
    ],
)
def test_a_value_is_plain_literal_or_escaped(line, value):
    assert parse_env(f"# a comment\n\n{line}\n") == {"A": value}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("hunter2", "line 2: is not NAME=VALUE"),
        ("A =hunter2", "no blank may stand before the ="),
        ("1A=hunter2", "is not NAME=VALUE"),
        ("A=hunter2 # why", "the value of A has a blank, quote, #"),
        ("A=hunter2$B", "single quotes"),
        ("A=hunter2#3", "single quotes"),
        ("A= hunter2", "single quotes"),
        ("A='hunter2", "does not end with its '"),
        ("A='hunter2' x", "does not end with its '"),
        ('A="hunter2', 'does not end with its "'),
        ('A="hunter2$B"', r"\$ and ` are written"),
        (r'A="hunter2\x"', "an escape that is none of"),
        ("A=hunter2\0", "holds a NUL"),
        ("B=hunter2", "line 2: B is there twice"),
    ],
)
def test_what_could_be_read_otherwise_is_an_error_that_shows_no_value(line, expected):
    with pytest.raises(EnvFileError, match=expected) as caught:
        parse_env(f"B=1\n{line}\n")
    assert "hunter2" not in str(caught.value)


def test_a_file_that_can_not_be_read_is_named(tmp_path):
    path = tmp_path / "secrets.env"
    with pytest.raises(EnvFileError, match=r"secrets\.env: no such file"):
        read_env(str(path))
    path.write_bytes(b"A=\xff")
    with pytest.raises(EnvFileError, match=r"secrets\.env: not UTF-8 at byte 2"):
        read_env(str(path))
    path.write_text("A=1\nA")
    with pytest.raises(EnvFileError, match=r"secrets\.env: line 2: is not"):
        read_env(str(path))
    with pytest.raises(EnvFileError, match="can't be read: Is a directory"):
        read_env(str(tmp_path))
