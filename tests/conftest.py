"""What holds for every test: the same examples in every run, so that a failure is a change's doing."""

from hypothesis import settings

settings.register_profile("same", derandomize=True, deadline=None, database=None)
settings.load_profile("same")
