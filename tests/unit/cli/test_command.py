"""The command as a function: arguments in; exit code, stdout and stderr out."""

import json
from pathlib import Path

import pytest

from dolphin_mp import __version__
from dolphin_mp.cli import main
from dolphin_mp.cli.commands import COMMANDS


def test_the_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"dolphin-mp {__version__}\n"


def test_the_help_names_every_command(capsys):
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"  {name} " in out for name in COMMANDS)


def test_nothing_asked_is_wrong_use(capsys):
    assert main([]) == 2
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name, capsys):
    assert main([name, "--help"]) == 0
    assert f"dolphin-mp {name}" in capsys.readouterr().out
    assert main(["help", name]) == 0


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["stauts"], 'did you mean "status"?'),
        (["zzz"], "there are"),
        (["status", "--jsn"], "dolphin-mp status --help"),
        (["read"], "CHANNEL"),
        (["stop"], "dolphin-mp shutdown"),
        (["restart"], "name the component"),
        (["--system"], "no command given"),
        (["read", "a.b", "--stale-after", "soon"], "--stale-after"),
    ],
)
def test_wrong_use_is_one_line_that_helps(arguments, hint, machine, capsys):
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert hint in err
    assert err.count("\n") == 1
    assert err.startswith("dolphin-mp: ")


@pytest.mark.parametrize(
    "command", [["status"], ["read", "a.b"], ["shutdown"], ["stop", "ob"], ["restart", "ob"]]
)
def test_with_nothing_running_the_exit_code_is_3(command, machine, capsys):
    assert main(command) == 3
    assert capsys.readouterr().err.startswith("dolphin-mp: nothing is running")


def test_an_unforeseen_error_is_one_line_and_a_file(machine, capsys, monkeypatch):
    monkeypatch.setattr("dolphin_mp.cli.status.find_board", lambda name: 1 / 0)
    assert main(["status"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("dolphin-mp: internal error, ZeroDivisionError")
    assert err.count("\n") == 1
    path = err.split(" its traceback is in ")[1].strip()
    assert "Traceback" in Path(path).read_text()
    monkeypatch.setenv("DOLPHIN_DEBUG", "1")
    assert main(["status"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_an_interrupt_is_130(machine, capsys, monkeypatch):
    def interrupt(_name):
        raise KeyboardInterrupt

    monkeypatch.setattr("dolphin_mp.cli.status.find_board", interrupt)
    assert main(["status"]) == 130
    assert capsys.readouterr() == ("", "")


def test_the_only_running_system_is_meant(system, capsys):
    system("alpha", "ob")
    assert main(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["system"] == "alpha"


def test_of_several_one_must_be_said(system, machine, capsys, monkeypatch):
    system("alpha", "ob")
    system("beta", "ob")
    assert main(["status"]) == 2
    assert "--system NAME, one of alpha, beta" in capsys.readouterr().err
    for arguments in (["status", "--json", "--system", "beta"], ["--system", "beta", "status", "--json"]):
        assert main(arguments) == 0
        assert json.loads(capsys.readouterr().out)["system"] == "beta"
    (machine / "dolphin.toml").write_text('[system]\nname = "alpha"\n')
    assert main(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["system"] == "alpha"
    monkeypatch.setenv("DOLPHIN_SYSTEM", "beta")
    assert main(["status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["system"] == "beta"


@pytest.mark.parametrize("name", ["gamma", "../x", "", "a\0b"])
def test_a_system_that_does_not_run_is_3(name, system, capsys):
    system("alpha", "ob")
    code = main(["status", "--system", name])
    err = capsys.readouterr().err
    assert code == (3 if name else 0)
    assert not name or "(running: alpha)" in err
