import sys

import numpy as np
import pytest

from dolphin_mp import Component, Input, Output, System
from dolphin_mp.faults import ConfigurationError
from dolphin_mp.plan import BackoffPlan
from dolphin_mp.system import find_system


class Quotes(Component):
    every = "10ms"
    quote = Output(np.dtype([("bid", "f8"), ("ask", "f8")]), keep=1024)

    def step(self):
        pass


class Edge(Component):
    quote = Input("quotes.quote", stale_after="3s", required=True)
    edge = Output("f8")

    def step(self):
        pass


def test_the_system_of_a_file_is_planned_in_start_order(project):
    plan = project("""
        [system]
        name = "dolphin"
        [components.edge]
        run = "parts:Edge"
        restart = "on-failure"
        max_restarts = 3
        within = "2m"
        backoff = { first = "1s", factor = 3, max = "1m", jitter = 0.0, reset_after = "1h" }
        [components.quotes]
        run = "parts:Quotes"
        every = "100ms"
    """).plan()
    assert plan.name == "dolphin"
    assert plan.orphan == "run"
    assert plan.folder == str(project.folder)
    assert plan.sys_path == (str(project.folder),)
    assert plan.modules == ("parts",)
    quotes, edge = plan.components
    assert (quotes.name, quotes.every_s, quotes.on, quotes.process) == ("quotes", 0.1, (), "quotes")
    assert (edge.after, edge.on, edge.every_s) == (("quotes",), ("quote",), None)
    assert (edge.restart, edge.max_restarts, edge.within_s) == ("on-failure", 3, 120.0)
    assert edge.backoff == BackoffPlan(1.0, 3.0, 60.0, 0.0, 3600.0)
    (output,) = quotes.outputs
    assert (output.channel, output.keep, output.record_size, output.shape) == ("quotes.quote", 1024, 16, ())
    (source,) = edge.inputs
    assert (source.channel, source.stale_after_s, source.required) == ("quotes.quote", 3.0, True)


def test_the_defaults_are_those_of_the_contract():
    plan = System("s", {"quotes": Quotes}).plan()
    (quotes,) = plan.components
    assert plan.orphan == "stop"
    assert quotes.backoff == BackoffPlan(0.25, 2.0, 30.0, 0.2, 60.0)
    assert (quotes.restart, quotes.max_restarts, quotes.on_failed) == ("always", None, "ignore")
    assert (quotes.ready_within_s, quotes.stop_within_s, quotes.hang_after_s) == (30.0, 10.0, 5.0)


def test_the_import_path_is_left_as_it_was(project):
    before = list(sys.path)
    project('[components.q]\nrun = "parts:Quotes"').plan()
    assert sys.path == before


@pytest.mark.parametrize(("file", "name"), [("dolphin.toml", None), ("paper.toml", "paper")])
def test_without_a_name_a_system_takes_its_folders_or_its_files(project, file, name):
    system = project('[components.q]\nrun = "parts:Quotes"', file)
    expected = name or project.folder.name.lower()
    assert system.name == expected


def test_a_name_that_is_none_is_a_fault(project, faults_of):
    faults = faults_of(project('[system]\nname = "My System"\n[components.q]\nrun = "parts:Quotes"').plan)
    assert len(faults) == 1
    assert 'system.name: "My System" is no name' in faults[0]


def test_all_faults_are_reported_at_once_with_file_key_and_the_nearest_right_one(project, faults_of):
    faults = faults_of(
        project("""
        [sytem]
        [system]
        orphn = "run"
        [components.edge]
        run = "parts:Edg"
        evry = "5s"
        every = 5
        restart = "on-fail"
        backoff = { frst = "1s", max = 3 }
        [components.quotes]
        run = "parts:Quotes"
        max_restarts = "three"
        options = { n = 1 }
        [components.lonely]
        [components.Big]
        run = "prts:Quotes"
    """).plan
    )
    file = project.folder / "dolphin.toml"
    expected = {
        f'{file}: sytem: unknown table; did you mean "system"?',
        f'{file}: system.orphn: unknown key; did you mean "orphan"?',
        f'{file}: components.edge.evry: unknown key; did you mean "every"?',
        f'{file}: components.edge.backoff.frst: unknown key; did you mean "first"?',
        f'{file}: components.edge.run: "parts" has no "Edg"; did you mean "Edge"?',
        f'{file}: components.quotes.max_restarts: should be a valid integer, not "three"',
        f'{file}: components.lonely: run is missing: write run = "module:Class"',
    }
    assert expected <= set(faults)
    starts = [
        f"{file}: components.edge.every: 5 has no unit",
        f"{file}: components.edge.backoff.max: 3 has no unit",
    ]
    starts += [
        f"{file}: components.edge.restart: should be one of",
        f"{file}: components.quotes.options: Quotes takes no",
    ]
    starts += [f'{file}: components.Big: "Big" is no name', f'{file}: components.Big.run: no module "prts"']
    for start in starts:
        assert any(fault.startswith(start) for fault in faults), start
    assert len(faults) == len(expected) + len(starts)


def test_the_text_of_the_error_is_its_faults_a_line_each():
    error = ConfigurationError(["one", "two"])
    assert str(error) == "one\ntwo"


@pytest.mark.parametrize(
    ("text", "place"), [("a = 1\nb = \n", ":2: not TOML"), ("[a]\n[a]\n", ":2: not TOML")]
)
def test_a_syntax_error_is_one_line_with_file_and_line(project, text, place, faults_of):
    (fault,) = faults_of(lambda: project(text))
    assert f"dolphin.toml{place}" in fault
    assert "\n" not in fault


def test_a_file_that_is_missing_or_no_text_is_a_fault(tmp_path, faults_of):
    assert "no such file" in faults_of(lambda: System.from_toml(tmp_path / "none.toml"))[0]
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    assert "not UTF-8" in faults_of(lambda: System.from_toml(tmp_path / "bytes.toml"))[0]


@pytest.mark.parametrize("text", ["", "components = 3", "[components]"])
def test_a_system_without_components_is_a_fault(project, text, faults_of):
    assert "no component: add a table" in faults_of(project(text).plan)[0]


def test_a_component_that_is_no_table_is_a_fault(project, faults_of):
    (fault,) = faults_of(project("[components]\nob = 5").plan)
    assert "components.ob: should be a table, not 5" in fault


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        ("parts", 'has not the form "module:Class"'),
        ("", 'has not the form "module:Class"'),
        ("part:Quotes", 'no module "part" in .* did you mean "parts"'),
        ("parts:Quote", 'did you mean "Quotes"'),
        ("parts:NotOne", "not a component: derive it from dolphin_mp.Component"),
        ("parts:np", "is a module, not a component class"),
        ("parts:Component", "is not a component"),
    ],
)
def test_a_run_that_gives_no_component_is_a_fault(project, run, expected):
    with pytest.raises(ConfigurationError, match=expected):
        project(f'[components.q]\nrun = "{run}"').plan()


@pytest.mark.parametrize("line", ["inputs = ('a',)", "def outputs(self): pass", "stopping = False"])
def test_a_class_that_takes_a_name_of_components_is_a_fault(project, tmp_path, line, faults_of):
    (tmp_path / "taken.py").write_text(
        f"from dolphin_mp import Component\nclass T(Component):\n    every = '1s'\n    {line}\n"
        "    def step(self): pass\n"
    )
    (fault,) = faults_of(project('[components.t]\nrun = "taken:T"').plan)
    assert "is a name that Component uses itself" in fault


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import nothing_like_this\n", r"fails at import with ModuleNotFoundError.*broken\.py:1\)"),
        (
            "x = 1\ny = 1 / 0\n",
            r"fails at import with ZeroDivisionError: division by zero \(.*broken\.py:2\)",
        ),
        ("def f(:\n", r"fails at import with SyntaxError.*broken\.py:1\)"),
        ("import json\njson.loads('{')\n", r"JSONDecodeError.*broken\.py:2\)"),
        ("raise SystemExit(3)\n", r"SystemExit: 3 \(.*broken\.py:1\)"),
        ("raise RuntimeError('a\\nb')\n", r"RuntimeError: a \("),
    ],
)
def test_a_module_that_fails_at_import_is_one_line_with_the_place(project, source, expected):
    (project.folder / "broken.py").write_text(source)
    system = project('[components.q]\nrun = "broken:Quotes"')
    with pytest.raises(ConfigurationError, match=expected) as caught:
        system.plan()
    assert "\n" not in str(caught.value)


def test_without_a_configuration_the_demo_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    system = find_system(None)
    assert system.name == "demo"
    assert "simulated" in system.notes[0]


def test_the_folders_configuration_is_found_before_the_demo(project, monkeypatch):
    project('[system]\nname = "mine"\n[components.q]\nrun = "parts:Quotes"')
    monkeypatch.chdir(project.folder)
    assert find_system(None).name == "mine"
    assert find_system(project.folder).name == "mine"
    assert find_system(project.folder / "dolphin.toml").plan().name == "mine"


def test_a_configuration_that_is_named_and_missing_is_a_fault(tmp_path, faults_of):
    (fault,) = faults_of(lambda: find_system(tmp_path / "none.toml"))
    assert "none.toml: no such file" in fault


def test_the_built_in_demo_passes_its_check_and_says_that_its_market_is_simulated():
    plan = System.builtin_demo().plan()
    assert [component.name for component in plan.components] == ["ob", "spread"]
    assert plan.component("spread").after == ("ob",)
    assert plan.orphan == "run"
    assert "simulated" in plan.notes[0]
