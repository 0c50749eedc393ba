"""What a launch asks for before it makes anything."""

import resource

import pytest

from dolphin_mp.parent.errors import LaunchError
from dolphin_mp.parent.ground import check_open_files
from dolphin_mp.plan import ComponentPlan, Plan


def plan(count):
    return Plan("test", tuple(ComponentPlan(f"c{n}", "x:X", f"c{n}", b"") for n in range(count)))


@pytest.mark.parametrize(("hard", "refused"), [(349, True), (350, False), (resource.RLIM_INFINITY, False)])
def test_a_system_that_needs_more_descriptors_than_there_can_be_is_refused(monkeypatch, hard, refused):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (10, hard))
    if refused:
        with pytest.raises(
            LaunchError, match=r"50 processes and 0 channels take 350 open files.* 349: raise it"
        ):
            check_open_files(plan(50))
    else:
        check_open_files(plan(50))
