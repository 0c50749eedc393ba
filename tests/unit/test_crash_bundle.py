"""What of a crash's facts gets into which file, and that no secret does, on a full disk neither."""

import json

import pytest

from dolphin_mp.cli.crashes import Crash, _lines
from dolphin_mp.crashes.bundle import write_bundle, write_core

SECRET, LITERAL = "hunter22-key", "swordfish's \\ own\nfish"


@pytest.fixture
def facts(tmp_path):
    """What the parent hands over, of a component that quotes its secrets wherever it speaks."""
    env_file = tmp_path / "s.env"
    env_file.write_text(f"THEIR_KEY={SECRET}\n")
    said = f"ValueError: no answer for {SECRET} and {LITERAL!r}"
    return {
        "id": "x",
        "reason": f"exit 1: {said}",
        "died_ns": 0,
        "steps": {"ob": {"beats": 3, "said": said}},
        "plan": [
            {
                "name": "ob",
                "run": "parts:Ob",
                "resources": {"env": {"THEIR_OTHER": LITERAL}, "env_file": str(env_file)},
            }
        ],
        "traceback": f"Traceback\n{said}\n",
        "stacks": f"thread 1\n{said}\n",
        "log": [{"time": "t", "component": "ob", "message": f"{said}, in full {LITERAL}"}],
    }


@pytest.mark.parametrize("is_core", [False, True])
def test_what_a_component_quotes_of_its_environment_is_in_no_file(tmp_path, facts, is_core):
    folder = tmp_path / "bundle"
    folder.mkdir()
    if is_core:
        write_core(folder, facts)
    else:
        write_bundle(folder, facts, [])
    texts = {path.name: path.read_text() for path in folder.iterdir()}
    core = {"crash.json", "traceback.txt", "stacks.txt"}
    assert set(texts) == (core if is_core else core | {"config.json", "log.jsonl"})
    for name, text in texts.items():
        assert SECRET not in text, name
        assert "swordfish" not in text, name
    said = 'ValueError: no answer for [redacted] and "[redacted]"'
    assert json.loads(texts["crash.json"])["steps"]["ob"] == {"beats": 3, "said": said}
    assert texts["traceback.txt"] == f"Traceback\n{said}\n"


def test_the_command_shows_a_record_of_several_lines_as_one(tmp_path):
    record = {"time": "2026-01-02T03:04:05.678901Z", "component": "ob", "level": "error"}
    lines = [{**record, "message": "Traceback:\n  here\x1b[2J"}, {"who": "knows"}]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    *_, title, first, second, third = _lines(Crash(tmp_path, {}))
    assert title == "last 2 log records"
    assert first.startswith("  2026-01-0")
    assert first.endswith("ob error    Traceback:")
    assert (second.strip(), third) == ("here", '  {"who": "knows"}')
    assert second.startswith("      ")
