"""Components that ship with dolphin-mp, built on its public API alone."""

if __name__ == "workers":
    raise ImportError("import dolphin_mp.workers, not workers")
