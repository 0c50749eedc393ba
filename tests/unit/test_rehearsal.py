"""What spares leave that are killed in their rehearsal."""

import os

from dolphin_mp.process.rehearsal import _sweep

NO_PID = 1 << 22  # pid_max is at most that: proc_sys_kernel(5)


def test_stages_of_the_dead_are_removed_and_nothing_else(tmp_path):
    for name in (f"spare.{NO_PID}", f"spare.{os.getpid()}", "logs", "spared"):
        (tmp_path / name).mkdir()
    (tmp_path / f"spare.{NO_PID}" / "notify").touch()
    _sweep(str(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {f"spare.{os.getpid()}", "logs", "spared"}
