"""A foreign program reads a live channel with numpy alone, by the document and nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from dolphin_mp.ipc import Channel

ROOT = Path(__file__).resolve().parents[2]
SHM = Path("/dev/shm")

# run with python -I where no dolphin_mp can be found; it knows docs/channel.md and the segment's name
READER = """
import json, re, sys
import numpy as np

document, name, until = open(sys.argv[1]).read(), sys.argv[2], int(sys.argv[3])

def table(title):
    section = document.split(f"### {title}\\n")[1].split("\\n#")[0]
    rows = re.findall(r"^\\| (\\d+) \\| `([^`]+)` \\| `([^`]+)` \\|", section, re.MULTILINE)
    return np.dtype({"names": [row[2] for row in rows], "formats": [row[1] for row in rows],
                     "offsets": [int(row[0]) for row in rows]})

def to_dtype(data):
    if isinstance(data, list):
        return (to_dtype(data[0]), tuple(data[1]))
    if isinstance(data, dict):
        return {**data, "formats": [to_dtype(one) for one in data["formats"]]}
    return data

memory = np.memmap(f"/dev/shm/{name}", mode="r")
header = memory.view(np.ndarray)[:4096 // 8 * 8]
words = table("Header words")
head = header[:words.itemsize].view(words)[0]
assert head["magic"] == b"DOLPHIN1" and head["layout"] == 1
begin = int(head["description_offset"])
described = json.loads(bytes(memory[begin:begin + int(head["description_size"])]))
dtype, shape = np.dtype(to_dtype(described["dtype"])), tuple(described["shape"])
slot_words, size, stride = table("Slot words"), int(head["record_size"]), int(head["slot_stride"])
assert dtype.itemsize * int(np.prod(shape)) == size

def latest():
    for _ in range(1000):
        version = int(head["committed"])
        if version == 0:
            return None
        at = int(head["header_size"]) + version % int(head["slot_count"]) * stride
        slot = memory[at:at + slot_words.itemsize].view(np.ndarray).view(slot_words)[0]
        if int(slot["sequence"]) != 2 * version:
            continue
        copy = np.array(memory[at + 64:at + 64 + size])
        written_ns, epoch = int(slot["written_ns"]), int(slot["epoch"])
        if int(slot["sequence"]) == 2 * version:
            return version, epoch, written_ns, copy.view(dtype).reshape(shape)
    raise SystemExit("overrun 1000 times")

seen = reads = 0
while seen < until:
    found = latest()
    if found is None:
        continue
    version, epoch, written_ns, value = found
    assert version >= seen and epoch == 1 and written_ns > 0
    assert (value["n"] == version).all() and (value["half"] == version / 2).all(), (version, value)
    assert (value["text"] == str(version).encode()).all()
    seen, reads = version, reads + 1
assert "dolphin_mp" not in sys.modules
print(reads, seen, described["shape"], dtype.names)
"""


@pytest.fixture
def name():
    name = f"t-{os.getpid()}-f"
    yield name
    (SHM / name).unlink(missing_ok=True)


def test_a_foreign_program_reads_a_live_channel_by_the_documents_table(name, tmp_path):
    kind = np.dtype([("n", "u8"), ("half", "f8", (2,)), ("text", "S12")])
    last = 20_000
    with Channel.create(name, kind, (3,), keep=4) as channel:
        channel.claim()
        command = [sys.executable, "-I", "-c", READER, str(ROOT / "docs" / "channel.md"), name, str(last)]
        reader = subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        record = np.zeros(3, kind)
        version = 0
        while version < last or reader.poll() is None:
            record["n"] = version + 1
            record["half"] = (version + 1) / 2
            record["text"] = str(version + 1).encode()
            version = channel.publish(record)
        said, errors = reader.communicate(timeout=60)
    assert reader.returncode == 0, errors
    assert errors == ""
    assert said.endswith("[3] ('n', 'half', 'text')\n")
    assert not (SHM / name).exists()


if sys.version_info >= (3, 13):  # SharedMemory(track=False) came with it

    def test_shared_memory_of_the_standard_library_reads_it_and_removes_nothing(name):
        code = (
            "import sys\nfrom multiprocessing.shared_memory import SharedMemory\n"
            "memory = SharedMemory(sys.argv[1], track=False)\nprint(bytes(memory.buf[:8]))\nmemory.close()"
        )
        with Channel.create(name, "f8"):
            command = [sys.executable, "-I", "-W", "error", "-c", code, name]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            assert (done.stdout, done.stderr) == ("b'DOLPHIN1'\n", "")
            assert (SHM / name).exists()
