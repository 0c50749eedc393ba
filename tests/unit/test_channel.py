"""Channels in one process: what is written, what is read, who may, and what each mistake is told."""

import gc
import itertools
import os
import pickle
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from dolphin_mp.ipc import (
    BusyError,
    Channel,
    ChannelError,
    ClaimedError,
    ClosedError,
    FencedError,
    MismatchError,
    NoRecordError,
    NotClaimedError,
    OverrunError,
    ReplacedError,
    SegmentExistsError,
    SegmentInvalidError,
    View,
    _core,
    errors,
    layout,
    wait_any,
)
from dolphin_mp.ipc.segment import Segment, new_header

SHM = Path("/dev/shm")
QUOTE = np.dtype([("bid", "f8"), ("ask", "f8"), ("venue", "S4"), ("count", "u1")])
_numbers = itertools.count()


@pytest.fixture
def name():
    name = f"t-{os.getpid()}-c{next(_numbers)}"
    yield name
    (SHM / name).unlink(missing_ok=True)


@pytest.fixture
def channel(name):
    with Channel.create(name, "f8", (4,), keep=3) as channel:
        channel.claim()
        yield channel


def fours(x):
    return np.full(4, x, "f8")


def form(array):
    return f"{type(array).__name__}-{getattr(array, 'dtype', '')}-{getattr(array, 'shape', '')}"


def in_thread(work):
    """What `work` gives or raises in another thread."""
    found = []

    def run():
        try:
            found.append(work())
        except ChannelError as error:
            found.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(10)
    assert found, "the thread did not end"
    return found[0]


# writing and reading ---------------------------------------------------------------------------------------


def test_before_the_first_record_there_is_none(channel):
    array = fours(7)
    assert channel.latest() is None
    assert channel.latest_into(array) == 0
    assert (array == 7).all()
    assert channel.since(0) == ([], 0)
    assert channel.new() == ([], 0)
    assert channel.history(5) == []
    assert channel.version == 0
    assert channel.wait(0, 0) == 0
    with pytest.raises(NoRecordError):
        channel.view()


def test_versions_count_from_one_without_a_gap(channel):
    assert [channel.publish(fours(x)) for x in range(10)] == list(range(1, 11))
    assert channel.version == 10


def test_the_newest_record_is_read_with_all_that_is_known_of_it(name, channel):
    before = _core.boottime_ns()
    channel.publish(fours(1.5))
    with Channel.attach(name) as reader:
        record = reader.latest()
        value, version, epoch, age_s = record
        after = _core.boottime_ns()
    assert (value == 1.5).all()
    assert value.dtype == "f8"
    assert value.shape == (4,)
    assert (version, epoch) == (record.version, record.epoch) == (1, 1)
    assert before <= record.written_ns <= after
    assert 0 <= age_s <= (after - before) * 1e-9
    assert record.fresh is None
    assert (record.origin_ns, record.token) == (0, 0)
    assert "version=1" in repr(record)


def test_freshness_is_told_once_somebody_said_what_stale_is(name, channel):
    channel.publish(fours(0))
    channel.stale_after_ns = 10**15
    assert channel.latest().fresh is True
    channel.stale_after_ns = 1
    assert channel.latest().fresh is False


def test_a_copy_stays_what_it_was(channel):
    array = fours(1)
    channel.publish(array)
    array[:] = 2
    first = channel.latest()
    for x in range(10):
        channel.publish(fours(x))
    assert (first.value == 1).all()


def test_the_fast_read_fills_the_callers_array(channel):
    channel.publish(fours(3))
    array = fours(0)
    assert channel.latest_into(array) == 1
    assert (array == 3).all()


@pytest.mark.parametrize(
    "target",
    [
        np.zeros(3),
        np.zeros((4, 1)),
        np.zeros(4, "f4"),
        np.zeros(4, ">f8"),
        np.zeros(4, "i8"),
        np.zeros(8)[::2],
        bytearray(32),
        [0.0] * 4,
        None,
    ],
    ids=lambda target: (
        f"{type(target).__name__}-{getattr(target, 'dtype', '')}-{getattr(target, 'shape', '')}"
    ),
)
def test_the_fast_read_fills_nothing_of_another_form(channel, target):
    channel.publish(fours(3))
    with pytest.raises(MismatchError, match="latest_into fills"):
        channel.latest_into(target)


def test_the_fast_read_does_not_fill_a_read_only_array(channel):
    channel.publish(fours(3))
    target = fours(0)
    target.flags.writeable = False
    with pytest.raises(MismatchError):
        channel.latest_into(target)
    assert (target == 0).all()


@pytest.mark.parametrize("keep", [1, 2, 3, 7, 8, 100])
def test_exactly_keep_records_are_readable(name, keep):
    with Channel.create(name, "u8", keep=keep) as channel:
        channel.claim()
        for n in range(1, 3 * keep + 2):
            channel.publish(n)
            records, lost = channel.since(0)
            assert [int(r.value) for r in records] == list(range(max(1, n - keep + 1), n + 1))
            assert [r.version for r in records] == [int(r.value) for r in records]
            assert lost == max(0, n - keep)


def test_since_gives_what_is_newer_and_counts_what_is_lost(channel):
    for n in range(1, 11):
        channel.publish(fours(n))
    assert [r.version for r in channel.since(8).records] == [9, 10]
    assert channel.since(8).lost == 0
    assert [r.version for r in channel.since(4).records] == [8, 9, 10]
    assert channel.since(4).lost == 3
    assert channel.since(10) == ([], 0)


@pytest.mark.parametrize("version", [-1, 3])
def test_since_a_version_that_never_was_is_an_error(channel, version):
    channel.publish(fours(1))
    with pytest.raises(ValueError, match=f"version {version} asked, the newest is 1"):
        channel.since(version)


def test_new_gives_each_record_once_and_counts_each_loss_once(channel):
    assert channel.new() == ([], 0)
    total = 0
    for burst in (1, 2, 3, 4, 0, 7, 1):
        for _ in range(burst):
            channel.publish(fours(total := total + 1))
        found = channel.new()
        assert found.lost == max(0, burst - 3)
        assert [r.version for r in found.records] == list(range(total - min(burst, 3) + 1, total + 1))


def test_history_gives_the_last_ones_the_oldest_first(channel):
    for n in range(1, 6):
        channel.publish(fours(n))
    assert [r.version for r in channel.history(2)] == [4, 5]
    assert [r.version for r in channel.history(100)] == [3, 4, 5]
    assert channel.history(0) == []
    with pytest.raises(ValueError, match="history"):
        channel.history(-1)


# what is published -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros(3),
        np.zeros(5),
        np.zeros((4, 1)),
        np.zeros((1, 4)),
        np.zeros(()),
        np.zeros(4, "f4"),
        np.zeros(4, "i8"),
        np.zeros(4, ">f8"),
        np.zeros(4, "M8[ns]"),
        np.zeros(32, "u1"),
        np.float64(1),
        1.0,
        "text",
        b"bytes" * 8,
        [1.0, 2.0, 3.0, 4.0],
        memoryview(bytes(32)),
        None,
        object(),
    ],
    ids=form,
)
def test_an_array_of_another_form_is_refused(channel, bad):
    with pytest.raises(MismatchError):
        channel.publish(bad)
    assert channel.version == 0
    assert channel.publish(fours(1)) == 1


def test_the_refusal_says_both_forms(channel):
    with pytest.raises(MismatchError, match=r"float32, shape \(2, 2\); the channel's are float64, \(4,\)"):
        channel.publish(np.zeros((2, 2), "f4"))


@pytest.mark.parametrize(
    "array",
    [np.arange(8.0)[::2], np.arange(4.0)[::-1], np.broadcast_to(np.float64(2), 4), np.ma.arange(4.0).data],
    ids=["strided", "backwards", "broadcast", "masked"],
)
def test_an_array_of_that_form_is_taken_however_it_lies_in_memory(channel, array):
    channel.publish(array)
    assert (channel.latest().value == array).all()


def test_a_fortran_array_is_published_by_its_values(name):
    with Channel.create(name, "i4", (2, 3)) as channel:
        channel.claim()
        array = np.asfortranarray(np.arange(6, dtype="i4").reshape(2, 3))
        channel.publish(array)
        assert (channel.latest().value == array).all()
        assert channel.latest_into(np.zeros((2, 3), "i4")) == 1
        with pytest.raises(MismatchError):
            channel.latest_into(array)


def test_an_equal_dtype_need_not_be_the_same_object(name):
    with Channel.create(name, QUOTE, (2,)) as channel:
        channel.claim()
        for n in range(1, 5):
            other = np.dtype([(field, QUOTE[field]) for field in QUOTE.names])
            assert channel.publish(np.zeros(2, other)) == n
            assert channel.latest_into(np.zeros(2, QUOTE)) == n
        with pytest.raises(MismatchError):
            channel.publish(np.zeros(2, np.dtype(QUOTE.descr[::-1])))


def test_a_record_is_published_as_tuple_scalar_or_array(name):
    with Channel.create(name, QUOTE) as channel:
        channel.claim()
        array = np.array((1.0, 2.0, b"ab", 3), QUOTE)
        for value in (array, array[()], (1.0, 2.0, b"ab", 3), (1.0, 2.0, "ab", 3)):
            channel.publish(value)
            assert channel.latest().value == array
        for bad in ((1.0, 2.0), (1.0, 2.0, b"ab", 3, 4), [1.0, 2.0, b"ab", 3], 5, "x", {"bid": 1}):
            with pytest.raises(MismatchError):
                channel.publish(bad)


def test_all_fields_by_name_make_a_record(name):
    with Channel.create(name, QUOTE) as channel:
        channel.claim()
        assert channel.publish(bid=1, ask=np.float32(2), venue="öb", count=np.int64(200)) == 1
        assert channel.latest().value[()] == np.array((1, 2, "öb".encode(), 200), QUOTE)[()]
        assert channel.publish(ask=2.5, bid=1.5, count=True, venue=b"") == 2
        assert channel.latest().value[()] == np.array((1.5, 2.5, b"", 1), QUOTE)[()]


GOOD = {"bid": 1.0, "ask": 2.0, "venue": b"ab", "count": 3}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"bid": 1.0}, "missing ask, venue, count"),
        (GOOD | {"last": 1}, "unknown last"),
        ({"bid": 1.0, "ask": 2.0, "venue": b"", "coutn": 1}, "missing count; unknown coutn"),
        (GOOD | {"count": 3.5}, "count"),
        (GOOD | {"count": 256}, "count"),
        (GOOD | {"count": -1}, "count"),
        (GOOD | {"count": np.int64(256)}, "count"),
        (GOOD | {"count": np.float64(3)}, "count"),
        (GOOD | {"count": "3"}, "count"),
        (GOOD | {"bid": 1j}, "bid"),
        (GOOD | {"bid": "1.0"}, "bid"),
        (GOOD | {"bid": None}, "bid"),
        (GOOD | {"bid": [1.0]}, "bid"),
        (GOOD | {"bid": np.zeros(1)}, "bid"),
        (GOOD | {"venue": b"abcde"}, "venue.*4 bytes"),
        (GOOD | {"venue": "äöü"}, "venue.*4 bytes"),
        (GOOD | {"venue": 5}, "venue"),
    ],
)
def test_fields_that_do_not_fit_are_refused_by_name(name, fields, said):
    with Channel.create(name, QUOTE) as channel:
        channel.claim()
        with pytest.raises(MismatchError, match=said):
            channel.publish(**fields)
        assert channel.version == 0
        assert channel.publish(**GOOD) == 1


def test_an_array_and_fields_together_are_refused(name):
    with Channel.create(name, QUOTE) as channel:
        channel.claim()
        with pytest.raises(MismatchError, match="one of them"):
            channel.publish(np.zeros((), QUOTE), **GOOD)
        with pytest.raises(MismatchError, match="one of them"):
            channel.publish()


def test_a_channel_without_fields_takes_none(channel):
    with pytest.raises(MismatchError, match="unknown bid"):
        channel.publish(bid=1.0)


def test_fields_take_the_records_shape_and_are_never_stretched(name):
    kind = np.dtype([("price", "f8"), ("levels", "i4", (2,)), ("inner", [("a", "i2"), ("b", "S2")])])
    with Channel.create(name, kind, (3,)) as channel:
        channel.claim()
        inner = [(1, b"x"), (2, "y"), (3, b"zz")]
        channel.publish(price=np.arange(3.0), levels=np.arange(6).reshape(3, 2), inner=inner)
        value = channel.latest().value
        assert (value["levels"] == [[0, 1], [2, 3], [4, 5]]).all()
        assert value["inner"]["b"].tolist() == [b"x", b"y", b"zz"]
        good = {"price": np.zeros(3), "levels": np.zeros((3, 2), int), "inner": inner}
        assert channel.publish(**good) == 2
        for bad in (
            {"price": 1.0},
            {"price": np.zeros(2)},
            {"levels": np.zeros(2, int)},
            {"inner": inner[:2]},
            {"inner": (1, b"x")},
            {"inner": [(1, b"x"), (2, b"y"), (3.5, b"z")]},
            {"inner": [(1, b"x"), (2, b"y"), (3, b"zzz")]},
            {"inner": np.zeros(3, [("a", "i2"), ("c", "S2")])},
        ):
            with pytest.raises(MismatchError):
                channel.publish(**(good | bad))
        assert channel.publish(**(good | {"inner": np.zeros(3, kind["inner"])})) == 3


def test_text_too_long_for_its_field_is_refused_whatever_its_kind(name):
    kind = np.dtype([("s", "S3"), ("u", "U3"), ("v", "V3")])
    with Channel.create(name, kind) as channel:
        channel.claim()
        good = {"s": "abc", "u": "äöü", "v": b"xyz"}
        channel.publish(**good)
        for bad in ({"s": "abcd"}, {"u": "abcd"}, {"v": b"abcd"}, {"s": "äö"}):
            with pytest.raises(MismatchError):
                channel.publish(**(good | bad))


def test_a_number_too_large_for_a_float_field_is_not_silently_infinite(name):
    with Channel.create(name, [("x", "f4")]) as channel, warnings.catch_warnings():
        channel.claim()
        warnings.simplefilter("ignore")
        with pytest.raises(MismatchError):
            channel.publish(x=1e300)
        channel.publish(x=float("inf"))
        channel.publish(x=float("nan"))
        assert np.isnan(channel.latest().value["x"])


# dtypes and sizes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["f8", "c8", "U2", QUOTE], ids=str)
@pytest.mark.parametrize("shape", [(), 3, (3,), [2, 3], np.int64(2), (np.int32(2), 1)], ids=str)
def test_shapes_are_taken_as_numpy_takes_them(name, dtype, shape):
    with Channel.create(name, dtype, shape) as channel:
        expected = np.zeros(shape, dtype)
        assert channel.shape == expected.shape
        assert channel.dtype == expected.dtype
        assert channel.record_size == expected.nbytes
        channel.claim()
        channel.publish(expected)
        found = channel.latest().value
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)


def test_a_subarray_dtype_becomes_part_of_the_shape(name):
    with Channel.create(name, np.dtype(("f4", (2, 2))), (3,)) as channel:
        assert (channel.dtype, channel.shape) == ("f4", (3, 2, 2))
        channel.claim()
        channel.publish(np.ones((3, 2, 2), "f4"))
        assert channel.latest().value.sum() == 12


@pytest.mark.parametrize(
    ("dtype", "shape", "keep", "error"),
    [
        ("O", (), 8, TypeError),
        ([("a", "O")], (), 8, TypeError),
        ("S0", (), 8, TypeError),
        ("nonsense", (), 8, TypeError),
        ([(("a title", "a"), "f8")], (), 8, TypeError),
        ("f8", (0,), 8, ValueError),
        ("f8", (-1,), 8, ValueError),
        ("f8", (1.5,), 8, TypeError),
        ("f8", "4", 8, TypeError),
        ("f8", (1,) * 33, 8, ValueError),
        ("f8", (1 << 40, 1 << 40), 8, ValueError),
        ("f8", (), 0, ValueError),
        ("f8", (), -1, ValueError),
        ("f8", (), 1.5, TypeError),
        ("f8", (), 1 << 25, ValueError),
    ],
    ids=str,
)
def test_a_channel_that_can_not_be_is_refused_and_leaves_nothing(name, dtype, shape, keep, error):
    with pytest.raises(error):
        Channel.create(name, dtype, shape, keep)
    assert not (SHM / name).exists()


@pytest.mark.parametrize("size", [1, 2, 63, 64, 65, 4095, 4096, 16383, 16384, 65535, 65536, 65537, 1 << 20])
def test_records_of_any_size_come_back_byte_for_byte(name, size):
    random = np.random.default_rng(size)
    with Channel.create(name, "u1", (size,), keep=2) as channel:
        channel.claim()
        with Channel.attach(name) as reader:
            for n in range(1, 7):
                array = random.integers(0, 256, size, "u1")
                assert channel.publish(array) == n
                assert (reader.latest().value == array).all()
                into = np.empty_like(array)
                assert reader.latest_into(into) == n
                assert (into == array).all()
                assert (reader.view() == array).all()
                assert (reader.history(1)[0].value == array).all()


def test_a_record_of_64_mib_and_a_byte_comes_back(name):
    array = np.zeros((64 << 20) + 1, "u1")
    array[:: 1 << 16] = np.arange(1025) % 251
    array[-1] = 77
    with Channel.create(name, "u1", array.shape, keep=1) as channel:
        channel.claim()
        channel.publish(array)
        with Channel.attach(name) as reader, reader.view() as view:
            assert np.array_equal(view, array)
        with channel.writing() as inside:
            inside[:] = 5
        assert channel.latest_into(array) == 2
        assert (array == 5).all()


@pytest.mark.parametrize("count", [3, 20_000])
@pytest.mark.parametrize("dtype", ["M8[ns]", "m8[s]", [("t", "M8[us]"), ("x", "f4")]], ids=str)
def test_times_are_records_too_small_and_large(name, dtype, count):
    array = np.zeros(count, dtype)
    array.view("u1")[:] = np.arange(array.nbytes) % 120
    with Channel.create(name, dtype, (count,)) as channel:
        channel.claim()
        assert [channel.publish(array) for _ in range(3)] == [1, 2, 3]
        into = np.zeros(count, dtype)
        assert channel.latest_into(into) == 3
        for found in (into, channel.latest().value, channel.since(0).records[0].value, channel.view()):
            assert found.dtype == array.dtype
            assert found.tobytes() == array.tobytes()


def test_overlapping_fields_are_records_too(name):
    kind = np.dtype({"names": ["whole", "low"], "formats": ["<u8", "<u4"], "offsets": [0, 0]})
    with Channel.create(name, kind, (10_000,)) as channel:
        channel.claim()
        array = np.zeros(10_000, kind)
        array["whole"] = 0x1_0000_0007
        channel.publish(array)
        assert (channel.latest().value["low"] == 7).all()
        assert (channel.history(1)[0].value["low"] == 7).all()


@pytest.fixture
def unknown_numpy():
    """A core that does not find numpy's arrays as it knows them."""
    assert not _core.look_inside(np.zeros(3))
    yield
    assert _core.look_inside(np.zeros((2, 3)))


@pytest.mark.parametrize("dtype", ["f8", "M8[s]", QUOTE], ids=str)
@pytest.mark.parametrize("size", [3, 20_000])
def test_a_numpy_of_unknown_form_takes_the_long_way(unknown_numpy, name, dtype, size):
    with Channel.create(name, dtype, (size,)) as channel:
        channel.claim()
        array = np.zeros(size, dtype)
        array.view("u1")[:] = np.arange(array.nbytes) % 120
        assert channel.publish(array) == 1
        into = np.zeros(size, dtype)
        assert channel.latest_into(into) == 1
        for found in (into, channel.latest().value, channel.since(0).records[0].value):
            assert found.tobytes() == array.tobytes()
        into.flags.writeable = False
        for bad in (into, np.zeros(size + 1, dtype), np.zeros(size, "i2"), np.zeros(size * 2, dtype)[::2]):
            with pytest.raises(MismatchError):
                channel.latest_into(bad)
        for bad in (np.zeros(size + 1, dtype), np.zeros(size, "i2")):
            with pytest.raises(MismatchError):
                channel.publish(bad)


def test_a_dtype_whose_description_is_longer_than_a_page_is_described(name):
    kind = np.dtype([(f"a field with a long name and the number {n}", "f8") for n in range(300)])
    with Channel.create(name, kind, keep=1) as channel, Channel.attach(name) as reader:
        assert len(layout.describe(layout.describe_dtype(kind), ())) > 3 * 4096
        assert reader.dtype == kind
        channel.claim()
        record = np.zeros((), kind)
        record[kind.names[-1]] = 7
        channel.publish(record)
        assert reader.latest().value == record


# in place --------------------------------------------------------------------------------------------------


def test_writing_publishes_on_leaving(channel):
    with channel.writing() as array:
        array[:] = 5
        assert channel.version == 0
        assert channel.latest() is None
    assert channel.version == 1
    assert (channel.latest().value == 5).all()
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1


def test_an_exception_in_writing_publishes_nothing(channel):
    channel.publish(fours(1))
    for _ in range(10):
        with pytest.raises(KeyError), channel.writing() as array:  # noqa: PT012
            array[:] = 66
            raise KeyError
    assert channel.version == 1
    assert (channel.latest().value == 1).all()
    assert [r.version for r in channel.since(0).records] == [1]
    assert channel.publish(fours(2)) == 2
    assert [float(r.value[0]) for r in channel.since(0).records] == [1, 2]


def test_what_is_being_written_disturbs_none_of_the_kept_records(channel):
    for n in range(1, 20):
        channel.publish(fours(n))
        with pytest.raises(KeyError), channel.writing() as array:  # noqa: PT012
            array[:] = 666
            kept = channel.since(0).records
            assert [float(r.value[0]) for r in kept] == list(range(max(1, n - 2), n + 1))
            raise KeyError


def test_in_the_midst_of_writing_nothing_else_is_written_or_let_go(channel):
    with channel.writing() as array:
        for other in (
            lambda: channel.publish(fours(1)),
            channel.release,
            channel.close,
            lambda: channel.writing().__enter__(),
        ):
            with pytest.raises(BusyError, match="being written"):
                other()
        array[:] = 3
    assert channel.version == 1
    channel.release()


def test_a_writing_that_was_dropped_publishes_nothing(channel):
    manager = channel.writing()
    manager.__enter__()[:] = 9
    del manager
    gc.collect()
    assert channel.publish(fours(1)) == 1


def test_writing_gives_the_records_own_form(name):
    with Channel.create(name, QUOTE, (2,)) as channel:
        channel.claim()
        with channel.writing() as array:
            assert (array.dtype, array.shape) == (QUOTE, (2,))
            array["bid"] = [1, 2]
            array["venue"] = b"x"
        assert channel.latest().value["bid"].tolist() == [1, 2]


def test_a_view_is_the_record_in_place(name, channel):
    channel.publish(fours(1))
    channel.publish(fours(2))
    with Channel.attach(name) as reader, reader.view() as view:
        assert isinstance(view, View)
        assert (view.version, view.epoch) == (2, 1)
        assert view.age_s >= 0
        assert view.valid
        assert view.value.sum() == 8
        assert type(view.value) is np.ndarray
        with pytest.raises(ValueError, match="read-only"):
            view[0] = 1
        with pytest.raises(ValueError, match="WRITEABLE"):
            view.flags.writeable = True


def test_a_view_says_when_it_was_overwritten(channel):
    channel.publish(fours(1))
    view = channel.view()
    for _ in range(3):
        channel.publish(fours(2))
        assert view.valid
    channel.publish(fours(3))
    assert not view.valid


def test_leaving_a_view_that_was_overwritten_is_an_overrun(channel):
    channel.publish(fours(1))
    with pytest.raises(OverrunError), channel.view():  # noqa: PT012
        for _ in range(4):
            channel.publish(fours(2))


def test_a_part_of_a_view_is_a_view_and_what_is_computed_is_a_copy(name):
    with Channel.create(name, QUOTE, (2,), keep=1) as channel:
        channel.claim()
        channel.publish(np.ones(2, QUOTE))
        view = channel.view()
        bid, first, twice, copy = view["bid"], view[:1], view["bid"] * 2, view.copy()
        assert bid.version == first.version == 1
        assert np.shares_memory(bid, view)
        for _ in range(4):
            channel.publish(np.zeros(2, QUOTE))
        assert not view.valid
        assert not bid.valid
        assert not first.valid
        assert twice.valid
        assert copy.valid
        assert (twice == 2).all()
        assert channel.overruns == 0
        with pytest.raises(OverrunError), first:
            pass
        assert channel.overruns == 1


def test_an_error_inside_a_view_is_not_hidden_by_an_overrun(channel):
    channel.publish(fours(1))
    with pytest.raises(KeyError), channel.view():  # noqa: PT012
        for _ in range(4):
            channel.publish(fours(2))
        raise KeyError


# claims ----------------------------------------------------------------------------------------------------


def test_publishing_needs_a_claim(name):
    with Channel.create(name, "f8", (4,)) as channel, Channel.attach(name) as other:
        for handle in (channel, other):
            with pytest.raises(NotClaimedError, match="claim"):
                handle.publish(fours(1))
            with pytest.raises(NotClaimedError), handle.writing():
                pass
        other.claim()
        with pytest.raises(NotClaimedError):
            channel.publish(fours(1))
        assert other.publish(fours(1)) == 1


def test_each_claim_raises_the_epoch_and_goes_on_with_the_next_version(name):
    with Channel.create(name, "u8") as channel:
        assert channel.epoch == 0
        for n in range(1, 6):
            assert channel.claim() == n == channel.epoch
            assert channel.publish(n) == n
            assert channel.latest().epoch == n
            channel.release()
            channel.release()
        assert [r.epoch for r in channel.since(0).records] == [1, 2, 3, 4, 5]


def test_claiming_again_changes_nothing(channel):
    assert channel.claim() == channel.claim() == 1
    assert channel.publish(fours(1)) == 1


def test_a_whole_record_that_was_never_committed_is_not_there_and_its_version_is_written_again(name):
    """What a writer leaves that dies between the slot's last word and the committed one: W4 without W5."""
    with Channel.create(name, "u8", keep=3) as channel:
        channel.claim()
        for n in range(1, 6):
            channel.publish(n)
        header = channel._segment.header
        slot = header.header_size + 6 % header.slot_count * header.slot_stride
        words = memoryview(_core.Memory(channel._segment.fd, header.segment_size, True)).cast("Q")
        words[slot // 8], words[slot // 8 + 8] = 2 * 6, 666
        with Channel.attach(name) as reader:
            assert reader.latest().version == 5
            assert reader._read(6) is None
            assert [int(record.value) for record in reader.since(0).records] == [3, 4, 5]
            with pytest.raises(ValueError, match="the newest is 5"):
                reader.since(6)
            channel.release()
            channel.claim()
            assert channel.publish(6) == 6
            assert int(reader._read(6).value) == 6


def test_a_second_writer_is_refused_by_the_holders_pid(name, channel):
    with Channel.attach(name) as other:
        with pytest.raises(ClaimedError, match=f"pid {os.getpid()}"):
            other.claim()
        assert channel.publish(fours(1)) == 1
        channel.release()
        assert other.claim() == 2
        with pytest.raises(ClaimedError):
            channel.claim()
        assert other.publish(fours(2)) == 2


def test_who_let_go_is_told_so_and_may_claim_again(channel):
    channel.release()
    with pytest.raises(FencedError, match="was released"):
        channel.publish(fours(1))
    channel.claim()
    assert channel.publish(fours(1)) == 1


def lose_lock(channel):
    """What a "close all descriptors" in this process does to a handle; the number stays in use, safely."""
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, channel._segment.fd)
    os.close(null)


def test_who_lost_its_claim_is_fenced(name, channel):
    channel.publish(fours(1))
    lose_lock(channel)
    with Channel.attach(name) as other:
        assert other.claim() == 2
        assert other.publish(fours(2)) == 2
        with pytest.raises(FencedError, match="epoch 2 writes it, this handle's was 1") as caught:
            channel.publish(fours(3))
        assert (caught.value.own_epoch, caught.value.epoch) == (1, 2)
        assert (other.latest().value == 2).all()


@pytest.mark.parametrize("size", [4, 1 << 15])
def test_who_lost_its_claim_while_writing_in_place_is_fenced(name, size):
    with (
        Channel.create(name, "f8", (size,)) as owner,
        Channel.attach(name) as first,
        Channel.attach(name) as other,
    ):
        first.claim()
        writing = first.writing()
        writing.__enter__()[:] = 1
        lose_lock(first)
        other.claim()
        other.publish(np.full(size, 2.0))
        with pytest.raises(FencedError):
            writing.__exit__(None, None, None)
        assert owner.version == 1
        assert (owner.latest().value == 2).all()


def test_the_kernel_says_whether_a_writer_lives(name):
    with Channel.create(name, "f8") as channel, Channel.attach(name) as other:
        assert not channel.writer_alive
        other.claim()
        assert channel.writer_alive
        assert other.writer_alive
        assert channel.writer_pid == os.getpid()
        other.release()
        assert not channel.writer_alive
        assert channel.writer_pid == 0


def test_a_pid_in_the_header_claims_nothing(name):
    """The lock decides: the header may name a process that lives and has nothing to do with it."""
    with Channel.create(name, "f8") as channel, Channel.attach(name) as other:
        other.claim()
        memory = memoryview(_core.Memory(channel._segment.fd, 4096, True))
        memory[_core.OFFSET_WRITER_PID : _core.OFFSET_WRITER_PID + 8] = (1).to_bytes(8, "little")
        with pytest.raises(ClaimedError, match="pid 1"):
            channel.claim()
        lose_lock(other)
        assert channel.claim() == 2


def test_a_second_thread_may_not_publish_through_the_same_handle(channel):
    channel.publish(fours(1))
    assert isinstance(in_thread(lambda: channel.publish(fours(2))), BusyError)
    assert channel.publish(fours(2)) == 2
    channel.release()
    channel.claim()
    assert in_thread(lambda: channel.publish(fours(3))) == 3, "a claim belongs to whoever publishes first"
    with pytest.raises(BusyError, match="another thread"):
        channel.publish(fours(4))


def test_readers_may_share_a_handle_with_the_writer(channel):
    channel.publish(fours(1))
    assert in_thread(channel.latest).version == 1
    assert in_thread(lambda: channel.wait(0, 5)) == 1


def test_the_first_publish_is_not_refused_because_another_thread_waits(name):
    with Channel.create(name, "u8") as channel:
        channel.claim()
        thread = threading.Thread(target=lambda: channel.wait(0, 10))
        thread.start()
        while not memoryview(channel._data)[_core.OFFSET_WAKE] & 1:  # until it sleeps
            assert thread.is_alive()
        assert channel.publish(1) == 1
        thread.join(10)
        assert not thread.is_alive()


# ends ------------------------------------------------------------------------------------------------------

USES = {
    "publish": lambda c: c.publish(fours(1)),
    "writing": lambda c: c.writing().__enter__(),
    "latest": lambda c: c.latest(),
    "latest_into": lambda c: c.latest_into(fours(0)),
    "since": lambda c: c.since(0),
    "new": lambda c: c.new(),
    "history": lambda c: c.history(1),
    "view": lambda c: c.view(),
    "wait": lambda c: c.wait(0, 0),
    "wait_any": lambda c: wait_any([(c, 0)], 0),
    "claim": lambda c: c.claim(),
    "version": lambda c: c.version,
    "epoch": lambda c: c.epoch,
    "writer_alive": lambda c: c.writer_alive,
    "retired": lambda c: c.retired,
}


@pytest.mark.parametrize("use", USES)
def test_a_closed_handle_says_so(name, use):
    channel = Channel.create(name, "f8", (4,))
    channel.claim()
    channel.publish(fours(1))
    channel.close()
    channel.close()
    channel.release()
    assert "closed" in repr(channel)
    with pytest.raises(ClosedError, match="closed"):
        USES[use](channel)


def test_the_owners_close_unlinks_and_an_attached_ones_does_not(name):
    channel = Channel.create(name, "f8")
    reader = Channel.attach(name)
    assert channel.owner
    assert not reader.owner
    reader.close()
    assert (SHM / name).exists()
    channel.close()
    assert not (SHM / name).exists()


def test_a_live_view_keeps_its_memory_after_close(name):
    channel = Channel.create(name, "f8", (1000,))
    channel.claim()
    channel.publish(np.arange(1000.0))
    view = channel.view()
    part = view[10:20]
    channel.close()
    assert view.sum() == 499500
    assert part.sum() == 145
    with pytest.raises(ClosedError):
        _ = view.valid
    del view
    assert part[0] == 10


def test_an_array_of_writing_keeps_its_memory_after_close(name):
    channel = Channel.create(name, "f8", (1000,))
    channel.claim()
    with channel.writing() as array:
        array[:] = 3
    channel.close()
    assert array.sum() == 3000


def test_views_from_before_a_claim_stay_good(name):
    with Channel.create(name, "f8", (4,)) as channel:
        channel.claim()
        channel.publish(fours(1))
        view = channel.view()
        channel.release()
        channel.claim()
        assert view.valid
        channel.release()
        assert view.sum() == 4


def test_closing_gives_back_every_descriptor(name):
    def descriptors():
        return {path.name for path in Path("/proc/self/fd").iterdir()}

    before = descriptors()
    channel = Channel.create(name, "f8", (4,))
    channel.claim()
    channel.publish(fours(1))
    reader = Channel.attach(name)
    view = reader.view()
    reader.wait(1, 0)
    reader.close()
    channel.close()
    assert descriptors() == before
    del view


def test_a_dropped_handle_gives_back_its_descriptor_and_its_claim_but_not_the_segment(name):
    with Channel.create(name, "f8", (4,)) as owner:
        dropped = Channel.attach(name)
        dropped.claim()
        dropped.publish(fours(1))
        version = owner.wait(0, 0)
        owner.wait(version, 0)
        del dropped
        gc.collect()
        assert not owner.writer_alive
        assert owner.writer_pid == 0
        assert owner.claim() == 2
        assert owner.publish(fours(2)) == 2
    assert not (SHM / name).exists()


def test_a_dropped_owner_leaves_the_segment_to_the_next(name):
    channel = Channel.create(name, "f8", (4,))
    channel.claim()
    channel.publish(fours(8))
    del channel
    gc.collect()
    with Channel.create(name, "f8", (4,)) as again:
        assert (again.latest().value == 8).all()
        assert again.claim() == 2


def test_a_handle_is_not_pickled(channel):
    with pytest.raises(TypeError):
        pickle.dumps(channel)


def test_all_errors_have_one_base():
    found = vars(errors).values()
    kinds = [kind for kind in found if isinstance(kind, type) and kind.__module__ == errors.__name__]
    assert len(kinds) >= 15
    assert all(issubclass(kind, ChannelError) and kind.__name__.endswith("Error") for kind in kinds)


# made again ------------------------------------------------------------------------------------------------


def test_made_twice_is_refused(name, channel):
    with pytest.raises(SegmentExistsError, match=f"pid {os.getpid()}"):
        Channel.create(name, "f8", (4,), keep=3)


def test_what_a_dead_owner_left_is_taken_up_with_its_records(name):
    first = Channel.create(name, "f8", (4,))
    first.claim()
    first.publish(fours(5))
    reader = Channel.attach(name)
    first.close(unlink=False)
    with Channel.create(name, "f8", (4,)) as second:
        assert second.latest().version == 1
        assert second.claim() == 2
        assert second.publish(fours(6)) == 2
        assert reader.latest().version == 2
        reader.close()


def test_readers_of_a_replaced_channel_are_told(name):
    first = Channel.create(name, "f8", (4,))
    first.claim()
    first.publish(fours(5))
    reader = Channel.attach(name)
    first.close(unlink=False)
    with Channel.create(name, "f4", (4,)) as second:
        assert second.latest() is None
        assert second.epoch == 0
        for use in ("latest", "latest_into", "since", "new", "history", "view", "wait", "wait_any", "claim"):
            if use == "since":
                continue
            with pytest.raises(ReplacedError, match=name):
                USES[use](reader)
        with pytest.raises(ReplacedError):
            reader.since(0)
        assert reader.retired
        reader.close()
        assert Channel.attach(name).dtype == "f4"


def test_a_given_up_channel_stays_readable_until_another_takes_its_name(name):
    channel = Channel.create(name, "f8", (4,))
    channel.claim()
    channel.publish(fours(5))
    reader = Channel.attach(name)
    channel.close()
    assert reader.retired
    assert reader.latest().version == 1
    with pytest.raises(ReplacedError):
        reader.claim()
    with Channel.create(name, "f8", (4,)), pytest.raises(ReplacedError):
        reader.latest()
    reader.close()


def test_a_writer_that_outlives_the_owner_goes_on_writing_for_its_readers(name):
    owner = Channel.create(name, "u8")
    writer, reader = Channel.attach(name), Channel.attach(name)
    writer.claim()
    writer.publish(1)
    owner.close()
    assert writer.publish(2) == 2
    assert reader.latest().version == 2
    writer.close()
    reader.close()


def test_a_segment_with_a_corrupted_dtype_is_refused(name):
    segment = Segment.create(name, new_header("<f4", (4,), 32, 8))
    try:
        with pytest.raises(SegmentInvalidError, match="dtype is corrupted"):
            Channel.attach(name)
    finally:
        segment.close()


# waiting ---------------------------------------------------------------------------------------------------


def test_a_wait_for_what_is_there_ends_at_once(channel):
    channel.publish(fours(1))
    channel.publish(fours(2))
    assert channel.wait(0) == 2
    assert channel.wait(1, 0) == 2
    assert wait_any([(channel, 1)]) == [0]


@pytest.mark.parametrize("timeout_s", [0, 0.0, -1, -1e300, 0.001, float("nan")])
def test_a_wait_ends_after_its_time(channel, timeout_s):
    began = time.monotonic()
    assert channel.wait(0, timeout_s) == 0
    assert wait_any([(channel, 0), (channel, 0)], timeout_s) == []
    assert time.monotonic() - began >= (2 * timeout_s if timeout_s > 0 else 0)


@pytest.mark.parametrize("timeout_s", [None, 30, 1e300, float("inf")])
def test_a_long_wait_is_ended_by_a_record(name, channel, timeout_s):
    with Channel.attach(name) as reader:
        timer = threading.Timer(0.01, lambda: channel.publish(fours(1)))
        timer.start()
        assert reader.wait(0, timeout_s) == 1
        timer.join()


@pytest.mark.parametrize("timeout_s", ["1", 1j, [1]])
def test_a_time_that_is_none_is_a_type_error(channel, timeout_s):
    with pytest.raises(TypeError):
        channel.wait(0, timeout_s)


def test_a_negative_version_is_refused(channel):
    with pytest.raises(OverflowError):
        channel.wait(-1, 0)


def test_the_first_claim_a_release_and_the_next_claim_each_end_one_wait(name):
    with Channel.create(name, "u8") as channel, Channel.attach(name) as reader:
        assert wait_any([(reader, 0)], 0) == []
        channel.claim()
        assert wait_any([(reader, 0)], 0) == [0]
        assert wait_any([(reader, 0)], 0) == []
        channel.release()
        assert wait_any([(reader, 0)], 0) == [0]
        assert wait_any([(reader, 0)], 0) == []
        channel.claim()
        assert wait_any([(reader, 0)], 0) == [0]
        assert wait_any([(reader, 0)], 0) == []


def test_ones_own_claim_is_no_news(channel):
    assert wait_any([(channel, 0)], 0) == []


def test_a_retirement_ends_one_wait(name):
    channel = Channel.create(name, "u8")
    reader = Channel.attach(name)
    channel.close()
    assert wait_any([(reader, 0)], 0) == [0]
    assert wait_any([(reader, 0)], 0) == []
    reader.close()


def test_several_waits_tell_which_have_news(name):
    channels = [Channel.create(f"{name}-{n}", "u8") for n in range(5)]
    try:
        for channel in channels:
            channel.claim()
        channels[1].publish(1)
        channels[4].publish(1)
        assert wait_any([(channel, 0) for channel in channels]) == [1, 4]
        assert wait_any([(channel, channel.version) for channel in channels], 0) == []
        assert wait_any([(channels[1], 0), (channels[1], 1), (channels[1], 0)]) == [0, 2]
        with pytest.raises(BusyError):
            wait_any([])
    finally:
        for channel in channels:
            channel.close()


def test_a_doorbell_ends_every_wait_until_it_is_reset(channel):
    bell = _core.Doorbell()
    channel._set_doorbell(bell)
    assert not bell.rung
    bell.ring()
    bell.ring()
    assert bell.rung
    assert channel.wait(0) == 0
    assert wait_any([(channel, 0)]) == []
    assert bell.wait_until(-1)
    bell.reset()
    assert not bell.rung
    assert channel.wait(0, 0.001) == 0
    assert not bell.wait_until(time.monotonic_ns() + 1000)


def test_a_doorbell_in_shared_memory_is_heard_there(channel):
    buffer = bytearray(64)
    here, there = _core.Doorbell(buffer, 16), _core.Doorbell(buffer, 16)
    here.ring()
    assert there.rung
    for offset in (-4, 2, 61, 64):
        with pytest.raises(ValueError, match="outside"):
            _core.Doorbell(buffer, offset)


def test_resetting_a_doorbell_forgets_nobody_who_sleeps_on_it():
    bell = _core.Doorbell()
    buffer = bytearray(4)
    bell = _core.Doorbell(buffer)
    thread = threading.Thread(target=lambda: bell.wait_until(time.monotonic_ns() + 10**10))
    thread.start()
    while not buffer[0] & 1:
        assert thread.is_alive()
    bell.reset()
    bell.ring()
    thread.join(5)
    assert not thread.is_alive()
