"""From "module:Class" to the class, with one line that says why not."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dolphin_mp.component import Component
from dolphin_mp.faults import one_line, place_of_exception, suggest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_FORM = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


class ImportFault(Exception):  # noqa: N818 - a line for the list of faults
    """Why "module:Class" gives no component."""


@contextmanager
def import_path(folders: Sequence[str]) -> Iterator[None]:
    """Have the folders first on the import path inside the block."""
    before = list(sys.path)
    extend_import_path(folders)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:] = before


def extend_import_path(folders: Sequence[str]) -> None:
    """Put those of the folders that the import path lacks before all others, in their order."""
    sys.path[:0] = [folder for folder in folders if folder not in sys.path]


def import_component(run: str, folder: str = "") -> type[Component]:
    """Import the class that "module:Class" names.

    Raises:
        ImportFault: the text has another form, the module or class is missing or fails, or is no component.
    """
    if not _FORM.fullmatch(run):
        raise ImportFault(f'"{run}" has not the form "module:Class"')
    module_name, _, path = run.partition(":")
    return _find_class(_import_module(module_name, folder), path)


_OWN = ("inputs", "outputs", "stopping")  # what the machinery itself asks of a class


def component_fault(value: object, what: str) -> str:
    """Give why a value is no component class, or nothing when it is one."""
    if not isinstance(value, type):
        return f"{what} is a {type(value).__name__}, not a component class"
    if value is Component or not issubclass(value, Component):
        return f"{what} is not a component: derive it from dolphin_mp.Component"
    taken = [name for name in _OWN if inspect.getattr_static(value, name) is not vars(Component)[name]]
    if taken:
        return f'{what}: "{taken[0]}" is a name that Component uses itself: choose another'
    return ""


def _import_module(name: str, folder: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(error.name + ".")):
            raise ImportFault(f'no module "{error.name}"{_like(error.name, folder)}') from None
        raise ImportFault(_failed(name, error)) from None
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the user's module may raise anything
        raise ImportFault(_failed(name, error)) from None


def _failed(name: str, error: BaseException) -> str:
    place = place_of_exception(error, skip=(__file__, importlib.__file__))
    return f'module "{name}" fails at import with {one_line(error)}{place}'


def _like(name: str, folder: str) -> str:
    if not folder or "." in name:
        return " on the import path"
    files = (
        path for path in Path(folder).iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()
    )
    return f" in {folder} or on the import path" + suggest(name, (path.stem for path in files), "there")


def _find_class(module: Any, path: str) -> type[Component]:
    found: Any = module
    for name in path.split("."):
        if not hasattr(found, name):
            classes = [key for key, value in vars(found).items() if not component_fault(value, key)]
            owner = found.__name__
            raise ImportFault(f'"{owner}" has no "{name}"' + suggest(name, classes, "its components"))
        found = getattr(found, name)
    if fault := component_fault(found, f'"{module.__name__}:{path}"'):
        raise ImportFault(fault)
    return found  # type: ignore[no-any-return]
