# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, embedsignature=False
"""Who of a pool works on which record: claims by compare-and-swap in shared memory. Nothing else.

One word, `cursor`, holds the lowest version that nobody has taken yet, and who took what lies just below it:

    cursor = next version << 16 | number of the last taker (0: nobody)
    state  = version << 16 | holder << 4 | FREE, INTENT or HELD, and REDEALT     (one a number, in its entry)
             in FREE the upper 48 bits count the records that were lost through this entry

To take, a holder (a number from 1; a kernel lock says that it lives) goes through its own entry:

  T1 until, count         what it will have taken, what the entry had counted              (release, by T2)
  T2 state = INTENT       seen by who looks after T3                                       (seq_cst)
  T3 cursor v -> until    compare-and-swap: the one that succeeds has the record           (seq_cst)
  T4 state = HELD         by itself, or by whoever wants to move the cursor on (`settle`)  (seq_cst)

Whoever moves the cursor settles the move before it first, so an INTENT is a HELD in waiting only while the cursor
names its holder and its `until`; every other INTENT never came about. So at each instruction at which a holder
may die it is known what it holds. `settle` can't hit a later INTENT of the same holder: that one's `until` is
beyond the cursor. What the dead held goes from hand to hand by compare-and-swap of its entry's state alone.
All accesses are seq_cst: they are few, and then the order of the table is the order for all.
"""

from cpython.buffer cimport PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint64_t, uint8_t

cdef extern from *:
    """
    #define dl_load(p)      __atomic_load_n((p), __ATOMIC_SEQ_CST)
    #define dl_store(p, v)  __atomic_store_n((p), (v), __ATOMIC_SEQ_CST)
    #define dl_add(p, v)    __atomic_fetch_add((p), (v), __ATOMIC_SEQ_CST)
    static inline int dl_cas(uint64_t *p, uint64_t old, uint64_t now) {
        return __atomic_compare_exchange_n(p, &old, now, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    }
    """
    uint64_t dl_load(uint64_t *) noexcept nogil
    void dl_store(uint64_t *, uint64_t) noexcept nogil
    uint64_t dl_add(uint64_t *, uint64_t) noexcept nogil
    int dl_cas(uint64_t *, uint64_t, uint64_t) noexcept nogil

cdef enum:
    TICK = 128        # the word that a wait compares, as a channel's `committed`
    CURSOR = 320
    REDEALT_COUNT = 384
    USED = 392
    ENTRIES = 4096
    STRIDE = 64
    UNTIL = 8
    COUNT = 16
    PID = 24
    START = 32
    FREE = 0
    INTENT = 1
    HELD = 2
    KIND = 3
    REDEALT = 4

OFFSET_TICK, OFFSET_CURSOR, OFFSET_REDEALT, OFFSET_USED = TICK, CURSOR, REDEALT_COUNT, USED
OFFSET_ENTRIES, ENTRY_STRIDE, ENTRY_UNTIL, ENTRY_COUNT, ENTRY_PID, ENTRY_START = ENTRIES, STRIDE, UNTIL, COUNT, PID, START


cdef inline uint64_t holder_of(uint64_t state) noexcept nogil:
    return state >> 4 & 0xfff


cdef inline uint64_t held_by(uint64_t state, uint64_t holder) noexcept nogil:
    return state & ~<uint64_t>0xfff0 | holder << 4


cdef class Table:
    """The words of one deal in a writable buffer, as one holder works on them; `number` is 0 for an onlooker."""

    cdef Py_buffer buffer
    cdef uint8_t *at
    cdef readonly uint64_t number   # who we are
    cdef uint64_t calm              # the tick at which nothing lay orphaned
    cdef uint8_t *mine              # the entry of what we hold; NULL: nothing
    cdef uint64_t passed            # lost records that we counted

    def __cinit__(self, object buffer, Py_ssize_t numbers):
        PyObject_GetBuffer(buffer, &self.buffer, PyBUF_WRITABLE)
        self.at = <uint8_t *>self.buffer.buf
        self.calm = <uint64_t>-1
        if numbers < 1 or numbers > 4095 or self.buffer.len < ENTRIES + numbers * STRIDE:
            raise ValueError("the entries lie outside the buffer")

    def __dealloc__(self):
        PyBuffer_Release(&self.buffer)

    cdef inline uint64_t *word(self, int offset) noexcept nogil:
        return <uint64_t *>(self.at + offset)

    cdef inline uint8_t *entry(self, uint64_t number) noexcept nogil:
        return self.at + ENTRIES + (number - 1) * STRIDE

    # what it says ---------------------------------------------------------------------------------------

    @property
    def next(self):
        """The lowest version that nobody has taken yet."""
        return dl_load(self.word(CURSOR)) >> 16

    @property
    def used(self):
        """The highest number that was ever a holder's."""
        return dl_load(self.word(USED))

    @property
    def redealt(self):
        """How many records were dealt again."""
        return dl_load(self.word(REDEALT_COUNT))

    @property
    def lost(self):
        """How many records were overwritten before anybody had them; exact while nobody moves."""
        cdef uint64_t total = 0, number, state
        cdef uint8_t *entry
        for number in range(1, dl_load(self.word(USED)) + 1):
            entry = self.entry(number)
            state = dl_load(<uint64_t *>entry)
            total += state >> 16 if state & KIND == FREE else dl_load(<uint64_t *>(entry + COUNT))
        return total

    def process(self, uint64_t number):
        """Give (pid, start time) of that holder; (0, 0) for none."""
        cdef uint8_t *entry = self.entry(number)
        return dl_load(<uint64_t *>(entry + PID)), dl_load(<uint64_t *>(entry + START))

    def held(self):
        """Give (version, holder, redealt) of each record that somebody holds, or nobody any more (holder 0)."""
        states = [dl_load(<uint64_t *>self.entry(number)) for number in range(1, dl_load(self.word(USED)) + 1)]
        return [(state >> 16, holder_of(state), bool(state & REDEALT)) for state in states if state & KIND == HELD]

    # coming and going: the caller has the number's lock ------------------------------------------------------

    def is_free(self, uint64_t number):
        """Tell whether that number's entry holds nothing."""
        return dl_load(<uint64_t *>self.entry(number)) & KIND == FREE

    def enter(self, uint64_t number, uint64_t pid, uint64_t start):
        """Be that holder; its entry holds nothing."""
        cdef uint64_t used
        cdef uint8_t *entry = self.entry(number)
        dl_store(<uint64_t *>(entry + START), start)
        dl_store(<uint64_t *>(entry + PID), pid)
        while True:
            used = dl_load(self.word(USED))
            if used >= number or dl_cas(self.word(USED), used, number):
                break
        self.number = number

    def bury(self, uint64_t number):
        """Put up what a dead holder held, and forget its process; True if there was anything."""
        cdef uint64_t other, state, now
        cdef uint8_t *entry
        cdef bint found = False
        for other in range(1, dl_load(self.word(USED)) + 1):
            entry = self.entry(other)
            while True:
                state = dl_load(<uint64_t *>entry)
                if state & KIND == FREE or holder_of(state) != number:
                    break
                now = self.without_holder(other, entry, state)
                if dl_cas(<uint64_t *>entry, state, now):
                    found = found or now & KIND == HELD
                    break
        dl_store(<uint64_t *>(self.entry(number) + PID), 0)
        return found

    cdef uint64_t without_holder(self, uint64_t number, uint8_t *entry, uint64_t state) noexcept nogil:
        """What becomes of an entry whose holder is dead: put up, counted as lost, or free as if never touched."""
        cdef uint64_t cursor = dl_load(self.word(CURSOR))  # after the state: see `settle`
        cdef uint64_t until = dl_load(<uint64_t *>(entry + UNTIL))
        cdef uint64_t count = dl_load(<uint64_t *>(entry + COUNT))
        if state & KIND == INTENT and cursor != (until << 16 | number):
            return count << 16
        if until - (state >> 16) > 1:
            return count + until - (state >> 16) << 16
        return held_by(state, 0) & ~<uint64_t>KIND | HELD

    def tick(self):
        """Have every wait end and every holder look at all entries."""
        dl_add(self.word(TICK), 1)

    # taking ---------------------------------------------------------------------------------------------

    cdef inline void settle(self, uint64_t cursor) noexcept nogil:
        """T4 for whoever moved the cursor last, should it not have come to that."""
        cdef uint64_t state
        cdef uint8_t *entry
        if cursor & 0xffff:
            entry = self.entry(cursor & 0xffff)
            state = dl_load(<uint64_t *>entry)
            if state & KIND == INTENT and dl_load(<uint64_t *>(entry + UNTIL)) == cursor >> 16:
                dl_cas(<uint64_t *>entry, state, state - INTENT + HELD)

    def take(self, uint64_t newest, uint64_t keep):
        """Take a record that lies orphaned, else the next new one; gives its version, 0 if there is none.

        New ones that are older than the last `keep` up to `newest` are gone: they count as lost.
        """
        cdef uint64_t version = 0, tick = dl_load(self.word(TICK))
        if self.number == 0 or self.mine != NULL:
            raise ValueError("take: no holder, or one that holds a record")
        if tick != self.calm:
            version = self.adopt()
            if version == 0:
                self.calm = tick
        return version or self.claim(newest, keep)

    cdef uint64_t adopt(self) noexcept nogil:
        cdef uint64_t number, state
        cdef uint8_t *entry
        for number in range(1, dl_load(self.word(USED)) + 1):
            entry = self.entry(number)
            state = dl_load(<uint64_t *>entry)
            if state & KIND == HELD and holder_of(state) == 0:
                if dl_cas(<uint64_t *>entry, state, held_by(state, self.number) | REDEALT):
                    self.mine = entry
                    return state >> 16
        return 0

    cdef uint64_t claim(self, uint64_t newest, uint64_t keep) noexcept nogil:
        cdef uint8_t *entry = self.entry(self.number)
        cdef uint64_t *state = <uint64_t *>entry
        cdef uint64_t cursor, version, until, count
        while True:
            cursor = dl_load(self.word(CURSOR))
            version = cursor >> 16
            if version > newest:
                return 0
            self.settle(cursor)
            until = max(version + 1, newest - keep + 1 if newest >= keep else 0)
            count = dl_load(state) >> 16
            dl_store(<uint64_t *>(entry + UNTIL), until)                        # T1
            dl_store(<uint64_t *>(entry + COUNT), count)
            dl_store(state, version << 16 | self.number << 4 | INTENT)          # T2
            if not dl_cas(self.word(CURSOR), cursor, until << 16 | self.number):  # T3
                dl_store(state, count << 16)
                continue
            dl_store(state, version << 16 | self.number << 4 | HELD)            # T4
            if until == version + 1 and newest - version < keep:
                self.mine = entry
                return version
            dl_store(state, count + until - version << 16)
            self.passed += until - version

    def count_redealt(self):
        """Count that the record that we hold was dealt again and was still there."""
        dl_add(self.word(REDEALT_COUNT), 1)

    def finish(self, bint lost=False):
        """Have done with the record that we hold, or say that it was gone when we looked."""
        if self.mine != NULL:
            dl_store(<uint64_t *>self.mine, dl_load(<uint64_t *>(self.mine + COUNT)) + lost << 16)
            self.mine = NULL
            self.passed += lost

    def take_passed(self):
        """Give how many lost records we have counted since we were last asked."""
        cdef uint64_t passed = self.passed
        self.passed = 0
        return passed

    def forsake(self):
        """Hold nothing more, and be nobody: before `bury` of our own number."""
        self.mine = NULL
        self.number = 0

    @property
    def is_redealt(self):
        """Whether the record that we hold was another's before."""
        return self.mine != NULL and bool(dl_load(<uint64_t *>self.mine) & REDEALT)
