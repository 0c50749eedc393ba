"""A process' own use of CPU, over stretches that say something."""

import pytest

from dolphin_mp.process import sampler as module


def test_a_birth_is_not_taken_for_a_load_and_a_second_is(monkeypatch):
    clock = {"now": 100.0, "cpu": 5.0}
    monkeypatch.setattr(module.time, "monotonic", lambda: clock["now"])
    monkeypatch.setattr(module.Sampler, "_cpu", staticmethod(lambda: clock["cpu"]))
    sampler = module.Sampler()
    clock.update(now=100.0001, cpu=5.0001)
    assert sampler.sample()[0] == 0.0
    clock.update(now=101.0, cpu=5.25)
    assert sampler.sample()[0] == pytest.approx(25.0)
    clock.update(now=101.01, cpu=5.26)
    percent, rss_bytes = sampler.sample()
    assert percent == pytest.approx(25.0)
    assert rss_bytes > 0
    sampler._statm.close()
