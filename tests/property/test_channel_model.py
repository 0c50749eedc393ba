"""A channel of any dtype, shape and keep against a plain list of what was published."""

import itertools
import os
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dolphin_mp.ipc import Channel, wait_any

_numbers = itertools.count()

SCALARS = st.one_of(
    st.sampled_from([np.dtype(char) for char in "?bhilqpBHILQPefdgFDG"]),
    npst.scalar_dtypes(),  # with both byte orders, datetime64 and timedelta64 of all units
    npst.byte_string_dtypes(endianness="?", min_len=1, max_len=9),
    npst.unicode_string_dtypes(min_len=1, max_len=5),
    st.integers(1, 20).map(lambda n: np.dtype(f"V{n}")),
    st.sampled_from(["M8[ns]", "M8[25us]", "m8", "M8", ">M8[D]", ">f8", ">U3", ">c16"]).map(np.dtype),
)


def has_titles(kind):
    if kind.subdtype is not None:
        return has_titles(kind.base)
    fields = [] if kind.names is None else [kind.fields[name] for name in kind.names]
    return len(kind.fields or ()) > len(fields) or any(has_titles(field[0]) for field in fields)


def with_gaps(kind):
    """The same fields, further apart and with room behind."""
    if kind.names is None:
        return kind
    offsets = [kind.fields[name][1] + 3 * n for n, name in enumerate(kind.names)]
    formats = [kind.fields[name][0] for name in kind.names]
    return np.dtype(
        {"names": kind.names, "formats": formats, "offsets": offsets, "itemsize": kind.itemsize + 100}
    )


NESTED = npst.nested_dtypes(SCALARS, max_leaves=6, max_itemsize=300).filter(lambda kind: not has_titles(kind))
DTYPES = st.one_of(SCALARS, NESTED, NESTED.map(with_gaps)).filter(lambda kind: kind.itemsize > 0)
SHAPES = st.one_of(st.just(()), npst.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4))


def filled(dtype, shape, seed):
    """An array of any bytes at all."""
    array = np.zeros(shape, dtype)
    if dtype.itemsize:
        target = np.frombuffer(memoryview(bytearray(array.nbytes)), "u1")
        random = np.random.default_rng(seed)
        target = random.integers(0, 256, array.nbytes, "u1")
        array = np.ndarray(shape, dtype, buffer=target.tobytes())
    return array


class AbortedError(Exception):
    """A writer changes its mind in the midst of a record."""


class ChannelModel(RuleBasedStateMachine):
    """`published` is all that any writer ever published; version n is its item n - 1."""

    @initialize(dtype=DTYPES, shape=SHAPES, keep=st.integers(1, 12))
    def make(self, dtype, shape, keep):
        self.name = f"t-{os.getpid()}-m{next(_numbers)}"
        self.owner = Channel.create(self.name, dtype, shape, keep)
        self.dtype, self.shape, self.keep = self.owner.dtype, self.owner.shape, keep
        assert self.owner.record_size == np.zeros(shape, dtype).nbytes
        self.writer = self.owner
        self.readers = [Channel.attach(self.name) for _ in range(2)]
        self.cursors = [0, 0]
        self.published = []
        self.epochs = []
        self.epoch = self.writer.claim()

    def teardown(self):
        if hasattr(self, "owner"):
            for handle in [*self.readers, self.writer, self.owner]:
                handle.close()
            assert not Path("/dev/shm", self.name).exists()

    def remember(self, content):
        self.published.append(content)
        self.epochs.append(self.epoch)

    def check(self, record, version):
        assert record.version == version
        assert record.epoch == self.epochs[version - 1]
        assert (record.value.dtype, record.value.shape) == (self.dtype, self.shape)
        assert record.value.tobytes() == self.published[version - 1]

    def check_since(self, found, cursor):
        newest = len(self.published)
        kept = list(range(max(cursor, newest - self.keep) + 1, newest + 1))
        assert [record.version for record in found.records] == kept
        for record in found.records:
            self.check(record, record.version)
        assert len(found.records) + found.lost == newest - cursor

    @rule(seed=st.integers(0, 2**32 - 1), times=st.integers(1, 20))
    def publish(self, seed, times):
        for n in range(times):
            array = filled(self.dtype, self.shape, seed + n)
            assert self.writer.publish(array) == len(self.published) + 1
            self.remember(array.tobytes())

    @precondition(lambda self: self.shape == () and self.dtype.kind != "U")  # any bytes are no text
    @rule(seed=st.integers(0, 2**32 - 1))
    def publish_a_scalar(self, seed):
        scalar = filled(self.dtype, (), seed)[()]
        assert self.writer.publish(scalar) == len(self.published) + 1
        self.remember(np.array(scalar, self.dtype).tobytes())
        self.published[-1] = self.readers[0].latest().value.tobytes()

    @rule(seed=st.integers(0, 2**32 - 1), abort=st.booleans())
    def write_in_place(self, seed, abort):
        array = filled(self.dtype, self.shape, seed)
        try:
            with self.writer.writing() as target:
                assert (target.dtype, target.shape) == (self.dtype, self.shape)
                np.ndarray(array.nbytes, "u1", target)[:] = np.frombuffer(array.tobytes(), "u1")
                if abort:
                    raise AbortedError  # noqa: TRY301
            self.remember(array.tobytes())
        except AbortedError:
            assert abort

    @rule(which=st.integers(0, 1))
    def read_latest(self, which):
        record = self.readers[which].latest()
        into = filled(self.dtype, self.shape, 1).copy()
        before = into.tobytes()
        version = self.readers[which].latest_into(into)
        assert version == len(self.published)
        if record is None:
            assert version == 0
            assert into.tobytes() == before
        else:
            self.check(record, len(self.published))
            assert into.tobytes() == self.published[-1]

    @rule(which=st.integers(0, 1))
    def read_new(self, which):
        self.check_since(self.readers[which].new(), self.cursors[which])
        self.cursors[which] = len(self.published)

    @rule(back=st.integers(0, 40))
    def read_since(self, back):
        cursor = max(0, len(self.published) - back)
        self.check_since(self.readers[0].since(cursor), cursor)

    @rule(n=st.integers(0, 15))
    def read_history(self, n):
        found = self.readers[1].history(n)
        newest = len(self.published)
        kept = range(newest - min(n, self.keep, newest) + 1, newest + 1)
        assert [record.version for record in found] == list(kept)
        for record in found:
            self.check(record, record.version)

    @precondition(lambda self: self.published)
    @rule(more=st.integers(0, 3))
    def view_in_place(self, more):
        with self.readers[0].view() as view:
            assert view.version == len(self.published)
            assert view.tobytes() == self.published[-1]
            for _ in range(min(more, self.keep)):
                self.publish(5, 1)
            assert view.valid
            assert view.tobytes() == self.published[view.version - 1]

    @rule()
    def hand_over(self):
        """Another handle becomes the writer."""
        if self.writer is not self.owner:
            self.writer.close()
        else:
            self.writer.release()
        self.writer = Channel.attach(self.name)
        assert self.writer.claim() == self.epoch + 1
        self.epoch += 1

    @rule()
    def be_taken_up(self):
        """The owner dies as by SIGKILL; the next maker of the same layout goes on."""
        if self.writer is self.owner:
            self.hand_over()
        self.owner.close(unlink=False)
        self.owner = Channel.create(self.name, self.dtype, self.shape, self.keep)

    @invariant()
    def all_agree_on_the_version(self):
        if hasattr(self, "owner"):
            newest = len(self.published)
            assert {handle.version for handle in [*self.readers, self.writer, self.owner]} == {newest}
            assert self.readers[0].wait(newest - 1 if newest else 0, 0) == newest
            assert wait_any([(self.readers[1], 0)], 0) == [0] or newest == 0


ChannelModel.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
TestChannelModel = ChannelModel.TestCase


@given(dtype=DTYPES, shape=SHAPES, seed=st.integers(0, 2**32 - 1))
@settings(max_examples=150, deadline=None)
def test_a_record_of_any_form_comes_back_and_the_form_with_it(dtype, shape, seed):
    array = filled(dtype, shape, seed)
    name = f"t-{os.getpid()}-m{next(_numbers)}"
    with Channel.create(name, dtype, shape, keep=2) as channel, Channel.attach(name) as reader:
        assert (reader.dtype, reader.shape) == (array.dtype, array.shape)
        channel.claim()
        assert channel.publish(array) == 1
        found = reader.latest().value
        assert (found.dtype, found.shape) == (array.dtype, array.shape)
        assert found.tobytes() == array.tobytes()
        assert reader.view().tobytes() == array.tobytes()


@given(dtype=DTYPES, shape=SHAPES, other=DTYPES, other_shape=SHAPES)
@settings(max_examples=150, deadline=None)
def test_an_array_is_published_if_and_only_if_it_has_the_channels_form(dtype, shape, other, other_shape):
    array = np.zeros(other_shape, other)
    name = f"t-{os.getpid()}-m{next(_numbers)}"
    with Channel.create(name, dtype, shape, keep=2) as channel:
        channel.claim()
        fits = (array.dtype, array.shape) == (channel.dtype, channel.shape)
        try:
            channel.publish(array)
            channel.latest_into(np.zeros(other_shape, other))
        except TypeError:
            assert not fits
        else:
            assert fits
