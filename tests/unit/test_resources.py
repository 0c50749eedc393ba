"""What a process takes on: as it is written, as it is checked, as it is planned."""

import os
import resource

import pytest

from dolphin_mp import Component, System
from dolphin_mp.checking import resources
from dolphin_mp.checking.resources import parse_cpus, show_cpus
from dolphin_mp.plan import ResourcesPlan, component_from_data, plan_from_json, plan_to_json
from dolphin_mp.process.limits import over_memory


class Tick(Component):
    every = "1s"

    def step(self):
        pass


def planned(**table):
    return System("s", {"a": (Tick, table)}).plan().components[0].resources


@pytest.mark.parametrize(
    ("given", "cpus"),
    [
        ("0-3,5", (0, 1, 2, 3, 5)),
        ("2", (2,)),
        (" 1 , 0 - 1", (0, 1)),
        ([3, 0, 3], (0, 3)),
        ((1,), (1,)),
    ],
)
def test_cpus_are_numbers_and_ranges(given, cpus):
    assert parse_cpus(given) == cpus


@pytest.mark.parametrize(
    "given", ["", "a", "3-1", "1,,2", "-1", "1-", [], [-1], [True], ["1"], 1, None, "9" * 9]
)
def test_what_are_no_cpus_is_an_error_that_says_what_is_right(given):
    with pytest.raises(ValueError, match="write numbers and ranges"):
        parse_cpus(given)


def test_cpus_are_shown_as_they_are_written():
    assert show_cpus([0, 1, 2, 5, 7, 8]) == "0-2,5,7-8"


def test_by_default_everything_stays_as_it_is():
    assert planned() == ResourcesPlan()


def test_all_of_it_is_planned_and_travels(project, monkeypatch):
    monkeypatch.setattr(resources, "_has_capability", lambda _: True)
    (project.folder / "s.env").write_text("KEY=hunter2\n")
    (project.folder / "data").mkdir()
    cpu = min(os.sched_getaffinity(0))
    plan = project(f"""
        [components.a]
        run = "parts:Quotes"
        nice = -5
        cpus = [{cpu}]
        memory_max = "512MiB"
        open_files = 512
        env = {{ LEVEL = "2" }}
        env_file = "s.env"
        cwd = "data"
    """).plan()
    expected = ResourcesPlan(
        nice=-5,
        cpus=(cpu,),
        memory_max=512 << 20,
        open_files=512,
        env={"LEVEL": "2"},
        env_file=str(project.folder / "s.env"),
        cwd=str(project.folder / "data"),
    )
    assert plan.components[0].resources == expected
    assert plan_from_json(plan_to_json(plan)) == plan
    assert b"hunter2" not in plan_to_json(plan)
    assert "LEVEL" not in repr(plan)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"nice": 20}, "a.nice: should be less than or equal to 19"),
        ({"nice": "5"}, "a.nice: should be a valid integer"),
        ({"cpus": "0-x"}, 'a.cpus: "0-x" is no set of CPUs'),
        ({"cpus": [4095]}, "a.cpus: CPU 4095 is not there, or not for this system: it may use"),
        ({"cpus": [4094, 4095]}, "a.cpus: CPUs 4094, 4095 are not there"),
        ({"memory_max": "512"}, 'a.memory_max: .* has no unit: write "512MiB"'),
        ({"memory_max": 512}, 'a.memory_max: .* has no unit: write "512MiB"'),
        ({"memory_max": "1MiB"}, "a.memory_max: .* at least 64MiB"),
        ({"open_files": 3}, "a.open_files: should be greater than or equal to 64"),
        ({"open_files": 1 << 40}, "a.open_files: .* is over the hard limit"),
        ({"env": ["A"]}, "a.env: should be a table of texts"),
        ({"env": {"A": 4711}}, "a.env: A is no text: put its value in quotes"),
        ({"env": {"A=B": "x"}}, "a.env: .* is no name of a variable"),
        ({"env": {"A": "x\0"}}, "a.env: A holds a NUL"),
        ({"env_file": "none.env"}, r"a.env_file: .*none\.env: no such file"),
        ({"env_file": 5}, "a.env_file: should be a valid string"),
        ({"cwd": "nowhere"}, "a.cwd: .*nowhere: no such folder"),
        ({"cwd": "file"}, "a.cwd: .*file is no folder"),
        ({"memorymax": "1GiB"}, 'a.memorymax: unknown key; did you mean "memory_max"'),
    ],
)
def test_what_can_not_be_had_is_a_fault_at_launch(table, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(Exception, match=expected) as caught:
        planned(**table)
    assert len(caught.value.faults) == 1
    assert "4711" not in str(caught.value)


def test_a_faulty_line_of_an_env_file_is_named_and_not_shown(project, faults_of):
    (project.folder / "s.env").write_text("A=1\nKEY=hunter2 hunter3\n")
    (fault,) = faults_of(project('[components.a]\nrun = "parts:Quotes"\nenv_file = "s.env"').plan)
    assert "components.a.env_file" in fault
    assert "s.env: line 2: the value of KEY has a blank" in fault
    assert "hunter" not in fault


def test_a_niceness_below_ones_own_needs_the_right(monkeypatch, faults_of):
    monkeypatch.setattr(resources, "_has_capability", lambda _: False)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (0, 0))
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert planned(nice=own).nice == own
    (fault,) = faults_of(lambda: planned(nice=-20))
    assert (
        f"a.nice: -20 needs a right that this user lacks (CAP_SYS_NICE, or ulimit -e): at least {own}"
        in fault
    )


def test_members_of_a_process_have_what_one_of_them_says(faults_with):
    both = {"a": (Tick, {"process": "p", "memory_max": "1GiB"}), "b": (Tick, {"process": "p"})}
    plan = System("s", both).plan()
    assert {component.resources.memory_max for component in plan.components} == {1 << 30}


def test_members_that_say_otherwise_are_a_fault_that_shows_no_value(faults_with):
    faults = faults_with(
        a=(Tick, {"process": "p", "memory_max": "1GiB", "env": {"KEY": "hunter2"}}),
        b=(Tick, {"process": "p", "memory_max": "2GiB", "env": {"KEY": "hunter3"}}),
    )
    assert len(faults) == 2
    assert all('shares process "p" and its fate with a, which says otherwise' in fault for fault in faults)
    assert not any("hunter" in fault for fault in faults)


def test_a_module_sees_its_components_environment_when_it_is_checked(project, monkeypatch):
    monkeypatch.delenv("THEIR_KEY", raising=False)
    monkeypatch.setenv("THEIR_LEVEL", "1")
    (project.folder / "their.py").write_text(
        "import os\nfrom dolphin_mp import Component\n"
        "KEY = os.environ['THEIR_KEY'] + os.environ['THEIR_LEVEL']\n"
        "class C(Component):\n    every = '1s'\n    def step(self): assert KEY == 'x2'\n"
    )
    (project.folder / "s.env").write_text("THEIR_KEY=x\nTHEIR_LEVEL=3\n")
    plan = project("""
        [components.q]
        run = "parts:Quotes"
        [components.c]
        run = "their:C"
        env_file = "s.env"
        env = { THEIR_LEVEL = "2" }
    """).plan()
    assert plan.modules == ("parts",)  # theirs is imported by each process of its own
    assert "THEIR_KEY" not in os.environ
    assert os.environ["THEIR_LEVEL"] == "1"


def test_a_plan_without_resources_is_no_plan_of_ours():
    with pytest.raises(KeyError):
        component_from_data({"name": "a", "blob": "", "after": [], "on": [], "backoff": {}, "outputs": []})


def test_too_much_memory_is_said_in_the_limits_unit():
    assert over_memory(512 << 20, 512 << 20) == ""
    assert over_memory(0, 1 << 40) == ""
    assert over_memory(512 << 20, 612 << 20) == "over memory_max: 612 of 512 MiB"
