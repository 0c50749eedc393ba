"""`check` and `init`: configurations judged and begun."""

import json

import pytest

from dolphin_mp.cli import main


def test_check_lists_components_in_order(machine, capsys):
    assert main(["init", "trial"]) == 0
    capsys.readouterr()
    assert main(["check", "trial"]) == 0
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == ["quotes", "edge"]
    assert main(["check", "trial", "--json"]) == 0
    got = json.loads(capsys.readouterr().out)
    assert (got["ok"], got["system"]) == (True, "trial")
    assert [row["name"] for row in got["components"]] == ["quotes", "edge"]


def test_check_tells_all_faults_at_once(machine, capsys):
    (machine / "bad.toml").write_text("[system]\nname = 'bad'\nnme = 1\n[components.a]\nrun = 'nowhere:A'\n")
    assert main(["check", "bad.toml"]) == 2
    err = capsys.readouterr().err
    assert "nme" in err
    assert all(line.startswith("dolphin-mp: ") for line in err.splitlines())
    assert main(["check", "bad.toml", "--json"]) == 2
    got = json.loads(capsys.readouterr().out)
    assert (got["ok"], got["system"]) == (False, "bad")
    assert any("nme" in fault for fault in got["faults"])


def test_check_of_a_file_that_is_not_there(machine, capsys):
    assert main(["check", "none.toml"]) == 2
    assert "no such file" in capsys.readouterr().err


def test_init_overwrites_nothing(machine, capsys):
    (machine / "market.py").write_text("mine")
    assert main(["init"]) == 1
    assert "market.py is there already" in capsys.readouterr().err
    assert [path.name for path in machine.iterdir()] == ["market.py"]
    assert (machine / "market.py").read_text() == "mine"


@pytest.mark.parametrize(("folder", "name"), [("My System!", "my-system"), ("_x_", "x"), ("äö", "market")])
def test_init_names_the_system_after_its_folder(folder, name, machine, capsys):
    assert main(["init", folder, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["system"] == name
    assert main(["check", folder]) == 0
