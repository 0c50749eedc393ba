"""What holds for every test: the same examples in every run, and no modules of a test before it."""

import signal
import sys

import pytest
from hypothesis import settings

settings.register_profile("same", derandomize=True, deadline=None, database=None)
settings.load_profile("same")
# one that a shell has put in the background, or nohup(1) has, ignores them, and so do those that it begets
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def _forget_modules(tmp_path_factory):
    """Forget the modules that a test wrote and imported: the next one's may have the same name."""
    yield
    base = str(tmp_path_factory.getbasetemp())
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(base):
            del sys.modules[name]
