"""A component's class and options as bytes, and back in a process that may never have seen them.

A class of an importable module goes by its name, so that a restart runs what the file says. One from a
notebook, a script or a function goes by value, with `dill`, as `multiprocess` carries it: the globals that
its methods use come along. The bytes only ever travel through pipes that the launcher made and its children
inherited.
"""

from __future__ import annotations

import io
import pickle
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dolphin_mp.importing import extend_import_path, import_component

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dolphin_mp.component import Component
    from dolphin_mp.plan import ComponentPlan


def run_string(component_class: type) -> str:
    """Give "module:Class" of a class."""
    return f"{component_class.__module__}:{component_class.__qualname__}"


def is_importable(component_class: type) -> bool:
    """Whether another process finds the class by its module's name."""
    module = component_class.__module__
    if module == "__main__" or "<locals>" in component_class.__qualname__:
        return False
    found: Any = sys.modules.get(module)
    for name in component_class.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is component_class


def dump_component(component_class: type[Component], options: Any, folders: Sequence[str]) -> bytes:
    """Give the bytes that `load_component` takes.

    Args:
        component_class: the user's class.
        options: an instance of its ``Options``, or None.
        folders: what has to be on the import path where it is loaded.

    Raises:
        Exception: what `dill` raises for something that can't be carried (a lock, a socket), of many types.
    """
    if is_importable(component_class):
        parts = ("name", run_string(component_class), pickle.dumps(options))
        folders = [*folders, *_import_root(component_class)]
    else:
        parts = ("value", "", _dump_by_value((component_class, options)))
    return pickle.dumps((list(folders), parts))


def load_component(plan: ComponentPlan) -> tuple[type[Component], Any]:
    """Give the class and its options, or None; puts the folders it needs on the import path."""
    folders, (kind, run, data) = pickle.loads(plan.blob)  # noqa: S301 - from the launcher's own pipe
    extend_import_path(folders)
    if kind == "name":
        return import_component(run), pickle.loads(data)  # noqa: S301
    import dill

    return dill.loads(data, ignore=True)  # type: ignore[no-any-return]  # noqa: S301


def load_imported(plan: ComponentPlan) -> tuple[type[Component], Any] | None:
    """Do what `load_component` does, where that runs nothing of the user's but looks at what is imported.

    None where that is not so, or anything is wrong: `load_component` will say what.
    """
    folders, (kind, run, data) = pickle.loads(plan.blob)  # noqa: S301 - from the launcher's own pipe
    if kind != "name" or run.partition(":")[0] not in sys.modules:
        return None
    extend_import_path(folders)
    try:
        return import_component(run), pickle.loads(data)  # noqa: S301
    except Exception:  # noqa: BLE001 - whatever a class does when its options are read
        return None


def _import_root(component_class: type) -> list[str]:
    """Give the folder from which the module's name leads to its file: a test runner has it from elsewhere."""
    module = sys.modules[component_class.__module__]
    path = Path(getattr(module, "__file__", None) or "").with_suffix("")
    parts = module.__name__.split(".") + (["__init__"] if hasattr(module, "__path__") else [])
    return [str(path.parents[len(parts) - 1])] if list(path.parts[-len(parts) :]) == parts else []


def _dump_by_value(value: Any) -> bytes:
    import warnings
    from types import ModuleType

    import dill

    class Pickler(dill.Pickler):  # type: ignore[misc]
        dispatch = dill.Pickler.dispatch.copy()

        def save(self, value: Any, *rest: Any) -> None:
            # dill gives each function a dict of its own for the globals it uses, beginning with the module's
            # name. Those of one module become one here, so that what a method assigns the next one sees.
            if type(value) is dict and list(value) == ["__name__"] and id(value) not in self.memo:
                first = globals_of.setdefault(value["__name__"], value)
                if first is not value:
                    super().save(first)
                    self.memoize(value)  # a second name for what lies on the stack
                    return
            super().save(value, *rest)

    globals_of: dict[str, dict[str, Any]] = {}
    # dill copies the whole state of a module outside site-packages, an editable install's among them.
    Pickler.dispatch[ModuleType] = _save_module
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dill.PicklingWarning)
        Pickler(buffer, recurse=True, byref=False).dump(value)
    return buffer.getvalue()


def _save_module(pickler: Any, module: Any) -> None:
    from importlib import import_module

    if module.__name__ == "__main__":
        raise pickle.PicklingError("the module __main__ itself can't be carried: use its names directly")
    pickler.save_reduce(import_module, (module.__name__,), obj=module)
