"""Which module may import which, what the top level gives away, and who may talk."""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import dolphin_mp

ROOT = Path(__file__).resolve().parents[2]
HOMES = {"dolphin_mp": "dolphin_mp", "ipc": "dolphin_mp.ipc", "workers": "dolphin_mp.workers"}


def modules(top: str) -> list[Path]:
    """The sources under one of the top folders; a linked folder's are counted where they lie."""
    return sorted(path for path in (ROOT / top).rglob("*.py") if path.resolve().is_relative_to(ROOT / top))


def dotted(path: Path) -> str:
    top, *inside = path.relative_to(ROOT).with_suffix("").parts
    return ".".join([HOMES[top], *inside]).removesuffix(".__init__")


def imports(path: Path) -> Iterator[str]:
    """Each imported name in full, `from a import b` as a.b, wherever in the module it stands."""
    module = dotted(path)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def breaches(top: str, allowed: tuple[str, ...]) -> list[str]:
    """What the modules of ``top`` import of dolphin_mp beyond ``allowed``."""
    return [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules(top)
        for name in imports(path)
        if is_within(name, "dolphin_mp") and not any(is_within(name, package) for package in allowed)
    ]


def in_fresh_python(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs code where neither the repository nor the test runner has put anything on the path."""
    command = [sys.executable, "-I", "-c", code]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_each_source_is_seen_once() -> None:
    assert all(modules(top) for top in HOMES)
    assert len({path.resolve() for top in HOMES for path in modules(top)}) == sum(
        len(modules(top)) for top in HOMES
    )


def test_ipc_knows_nothing_above_it() -> None:
    assert breaches("ipc", ("dolphin_mp.ipc",)) == []


def test_the_compiled_core_knows_nothing_above_ipc() -> None:
    text = (ROOT / "ipc" / "_core.pyx").read_text()
    ours = re.findall(r"^\s*(?:from|c?import)\s+(dolphin_mp[\w.]*)", text, re.MULTILINE)
    assert [name for name in ours if not is_within(name, "dolphin_mp.ipc")] == []


def test_workers_build_on_the_public_names_alone() -> None:
    public = tuple(f"dolphin_mp.{name}" for name in dolphin_mp.__all__)
    assert breaches("workers", (*public, "dolphin_mp.workers")) == []


def test_nothing_but_the_command_imports_the_command() -> None:
    assert [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules("dolphin_mp")
        if not is_within(dotted(path), "dolphin_mp.cli")
        for name in imports(path)
        if is_within(name, "dolphin_mp.cli") and path.name != "__main__.py"
    ] == []


@pytest.mark.parametrize(
    ("folder", "known"),
    [
        ("logs", "ipc paths"),
        ("hang", "ipc plan supervision.vocabulary"),
        ("crashes", "ipc paths plan values envfile supervision hang logs.files logs.pipe logs.reader"),
        ("supervision", "plan"),
    ],
)
def test_each_folder_knows_what_it_needs_and_no_more(folder: str, known: str) -> None:
    allowed = [f"dolphin_mp.{name}" for name in (folder, *known.split(), "__version__")]
    assert [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules("dolphin_mp")
        if is_within(dotted(path), f"dolphin_mp.{folder}")
        for name in imports(path)
        if is_within(name, "dolphin_mp") and not any(is_within(name, package) for package in allowed)
    ] == []


@pytest.mark.parametrize("folder", ["crashes", "hang", "logs", "parent", "process", "supervision"])
def test_no_module_knows_one_that_knows_it(folder: str) -> None:
    sources = {dotted(path): path for path in modules("dolphin_mp") if path.parent.name == folder}
    known = {
        module: {name if name in sources else name.rpartition(".")[0] for name in imports(path)}
        & set(sources)
        for module, path in sources.items()
    }
    assert len(list(TopologicalSorter(known).static_order())) == len(known) > 1  # else a CycleError


PURE = ["plan.py", *(f"supervision/{path.name}" for path in (ROOT / "dolphin_mp/supervision").glob("*.py"))]


@pytest.mark.parametrize("module", sorted(PURE))
def test_what_decides_touches_no_clock_and_no_process(module: str) -> None:
    used = {name.partition(".")[0] for name in imports(ROOT / "dolphin_mp" / module)}
    outside = "os time datetime random subprocess socket select threading asyncio"
    assert used.isdisjoint(outside.split())


def test_only_the_command_prints() -> None:
    assert [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for top in HOMES
        for path in modules(top)
        if not is_within(dotted(path), "dolphin_mp.cli")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ] == []


def test_importing_the_package_imports_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import json, sys; before = set(sys.modules); import dolphin_mp; "
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    answer = in_fresh_python(code, tmp_path)
    assert answer.returncode == 0, answer.stderr
    heavy = {"numpy", "zmq", "pydantic", "multiprocessing", "multiprocess", "asyncio", "rich", "typing"}
    assert heavy.isdisjoint(name.partition(".")[0] for name in json.loads(answer.stdout))


def test_each_public_name_is_there() -> None:
    assert [name for name in dolphin_mp.__all__ if not hasattr(dolphin_mp, name)] == []


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing_such"):
        getattr(dolphin_mp, "nothing_such")  # noqa: B009


@pytest.mark.parametrize("name", ["ipc", "workers", "scripts", "tests"])
def test_the_top_folders_are_no_modules(name: str, tmp_path: Path) -> None:
    answer = in_fresh_python(f"import {name}", tmp_path)
    assert f"No module named '{name}'" in answer.stderr
