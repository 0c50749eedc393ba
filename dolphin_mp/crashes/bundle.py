"""The files of one bundle, made from a parcel: what says most in fewest bytes comes first."""

from __future__ import annotations

import json
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dolphin_mp.crashes.redaction import Redactor
from dolphin_mp.crashes.shelf import FACTS
from dolphin_mp.crashes.surroundings import code_facts, host_facts
from dolphin_mp.envfile import EnvFileError, read_env
from dolphin_mp.values import decode

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_VALUE_BYTES = 64 * 1024  # of a record that is written out; a larger one is only in its .npy file
MOST_LOG_BYTES = 1 << 20
_NS = 1e-9


def write_bundle(folder: Path, facts: dict[str, Any], blobs: Sequence[bytes]) -> None:
    """Write all files; raises OSError."""
    redactor = Redactor()
    config = _config(facts, redactor)  # first: what it hides is then hidden everywhere
    write_core(folder, facts, redactor)
    _write_json(folder / "config.json", config)
    _write_log(folder / "log.jsonl", facts.get("log", []), redactor)
    if facts.get("channels"):
        records = {name: _records(tail, blobs, facts) for name, tail in facts["channels"].items()}
        _write_text(folder / "records.json", json.dumps(records, ensure_ascii=False) + "\n")
        _write_arrays(folder / "records", facts["channels"], blobs)


def write_core(folder: Path, facts: dict[str, Any], redactor: Redactor | None = None) -> None:
    """Write what says most in fewest bytes: the facts, the traceback and the stacks."""
    if redactor is None:
        redactor = Redactor()
        _config(facts, redactor)  # only for the secrets that it meets
    kept = {key: value for key, value in facts.items() if key not in _ELSEWHERE}
    runs = [member["run"] for member in facts.get("plan", [])]
    folders = [item for item in (facts.get("folder"), *facts.get("sys_path", [])) if item]
    kept["code"] = code_facts(runs, folders)
    kept["host"] = host_facts()
    kept["reason"] = redactor.scrub(str(facts.get("reason", "")))
    steps = facts.get("steps", {})
    kept["steps"] = {name: {**step, "said": redactor.scrub(step["said"])} for name, step in steps.items()}
    _write_json(folder / FACTS, kept)
    for name in ("traceback", "stacks"):
        if facts.get(name):
            _write_text(folder / f"{name}.txt", redactor.scrub(facts[name]))


_ELSEWHERE = frozenset({"log", "channels", "traceback", "stacks", "plan", "sys_path", "source_text"})


def _config(facts: dict[str, Any], redactor: Redactor) -> dict[str, Any]:
    source = facts.get("source") or ""
    for member in facts.get("plan", []):
        path = member.get("resources", {}).get("env_file", "")
        with suppress(EnvFileError):  # a text that quotes its values is to be scrubbed, too
            redactor.mask({"env": read_env(path) if path else {}})
    config: dict[str, Any] = {"source": source, "plan": redactor.mask(facts.get("plan", [])), "toml": None}
    try:
        path = Path(source)
        if source.endswith(".toml") and path.is_file():
            config["modified"] = path.stat().st_mtime
            config["toml"] = redactor.mask(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:  # changed or removed since the launch
        config["toml"] = None
        config["note"] = redactor.scrub(f"{source} can't be read any more: {error}")
    return config


def _write_log(path: Path, records: Sequence[Any], redactor: Redactor) -> None:
    lines: list[str] = []
    total = 0
    for record in reversed(records):
        lines.append(json.dumps(redactor.scrub_all(record), ensure_ascii=False, default=str) + "\n")
        total += len(lines[-1].encode())
        if total > MOST_LOG_BYTES:
            break
    if lines:
        _write_text(path, "".join(reversed(lines)))


def _records(tail: dict[str, Any], blobs: Sequence[bytes], facts: dict[str, Any]) -> dict[str, Any]:
    records = []
    for record in tail["records"]:
        age_s = round(max(0, facts["died_ns"] - record["written_ns"]) * _NS, 9)
        value = {"version": record["version"], "epoch": record["epoch"], "age_s": age_s, "value": None}
        if tail["record_size"] <= MOST_VALUE_BYTES:
            value["value"] = decode(tail["dtype"], tail["shape"], blobs[record["blob"]])
        records.append(value)
    return {
        **{key: tail[key] for key in ("dtype", "shape", "epoch", "version", "record_size")},
        "records": records,
    }


def _write_arrays(folder: Path, channels: dict[str, Any], blobs: Sequence[bytes]) -> None:
    """Write each channel's records, oldest first, as an array that `numpy.load` takes."""
    import numpy as np

    from dolphin_mp.ipc.layout import dtype_from_description

    folder.mkdir(mode=0o700)
    for name, tail in channels.items():
        data = b"".join(blobs[record["blob"]] for record in reversed(tail["records"]))
        if not data:
            continue
        try:
            dtype = dtype_from_description(tail["dtype"])
            array = np.frombuffer(data, dtype).reshape(len(tail["records"]), *tail["shape"], *dtype.shape)
            with open(folder / f"{name}.npy", "wb") as file:  # noqa: PTH123
                np.save(file, array, allow_pickle=False)
        except ValueError:  # a dtype with no name in that format, as one of overlapping fields
            (folder / f"{name}.npy").unlink(missing_ok=True)
            (folder / f"{name}.bin").write_bytes(data)


def _write_json(path: Path, data: Any) -> None:
    _write_text(path, json.dumps(data, ensure_ascii=False, indent=1, default=str) + "\n")


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", errors="backslashreplace")
