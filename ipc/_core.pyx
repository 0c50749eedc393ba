# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, embedsignature=False
"""Atomics, the ring's publish and read, futex waits, and what a fork must not keep. Nothing else.

The segment's header is one page of words; offsets stand in ipc/layout.py and docs/channel.md. A record lies
in slot `version % slots`. Slot word `sequence` is `2 * version` when whole and one more while being written;
header word `committed` is the newest whole version. Orders that matter, each store with what it pairs with:

  writer                                        reader
  W1 sequence = 2v+1        (relaxed)           R1 v = committed            (acquire, pairs with W5)
  W2 fence release          (before the data)   R2 sequence == 2v           (acquire, pairs with W4)
  W3 data, times, epoch     (plain)             R3 data                     (plain copy)
  W4 sequence = 2v          (release)           R4 fence acquire            (pairs with W2: if R3 saw data
  W5 committed = v          (release)              of a later version, R5 sees that version's W1)
  W6 wake word += tick      (seq_cst CAS)       R5 sequence still 2v        (relaxed)

A reader that fails R2 or R5 begins again with the newest version. No reader waits for a writer.
Source: H.-J. Boehm, "Can seqlocks get along with programming language memory models?", MSPC 2012.
"""

from cpython.buffer cimport (PyBUF_C_CONTIGUOUS, PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_FillInfo, PyBuffer_Release,
                             PyObject_GetBuffer)
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int64_t, uint32_t, uint64_t, uint8_t, uintptr_t
from libc.errno cimport errno
from libc.string cimport memcpy, strerror

from dolphin_mp.ipc.errors import (BusyError, ClosedError, FencedError, ForkedError, MismatchError,
                                   NotClaimedError, OverrunError, ReplacedError)

cdef extern from *:
    """
    #include <errno.h>
    #include <fcntl.h>
    #include <linux/futex.h>
    #include <pthread.h>
    #include <stdint.h>
    #include <sys/mman.h>
    #include <sys/stat.h>
    #include <sys/syscall.h>
    #include <time.h>
    #include <unistd.h>

    #ifndef SYS_futex_waitv
    #define SYS_futex_waitv 449
    #endif
    #define LAPSED_SPIN_NS 50000

    typedef struct { uint64_t val, uaddr; uint32_t flags, reserved; } mp_waiter;

    /* relaxed and acquire loads, release stores: see the table above for what each pairs with */
    #define mp_load(p)          __atomic_load_n((p), __ATOMIC_RELAXED)
    #define mp_load_acquire(p)  __atomic_load_n((p), __ATOMIC_ACQUIRE)
    #define mp_store(p, v)      __atomic_store_n((p), (v), __ATOMIC_RELAXED)
    #define mp_store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
    #define mp_fence_release()  __atomic_thread_fence(__ATOMIC_RELEASE)
    #define mp_fence_acquire()  __atomic_thread_fence(__ATOMIC_ACQUIRE)
    /* memcpy writes large blocks past the cache, and such stores of x86 heed neither W1 before them nor (if
       another than memcpy made them) W4 behind them, but for a full fence: Intel SDM 3A, 9.2.2 and 12.10.3 */
    #define mp_fence_full()     __atomic_thread_fence(__ATOMIC_SEQ_CST)
    /* seq_cst: a waiter's bit and a publisher's tick are changes of one word, so one sees the other */
    static inline int mp_cas32(uint32_t *p, uint32_t old, uint32_t now) {
        return __atomic_compare_exchange_n(p, &old, now, 0, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE);
    }
    static inline int mp_cas64(uint64_t *p, uint64_t old, uint64_t now) {
        return __atomic_compare_exchange_n(p, &old, now, 0, __ATOMIC_SEQ_CST, __ATOMIC_ACQUIRE);
    }
    static inline void mp_pause(void) {
    #if defined(__x86_64__)
        __builtin_ia32_pause();
    #elif defined(__aarch64__)
        __asm__ __volatile__("yield");
    #endif
    }
    /* begins to fetch the first KiB of what is about to be read: what a return to Python takes, it overlaps */
    static inline void mp_prefetch(const uint8_t *p, uint64_t n) {
        for (uint64_t i = 0; i < n && i <= 1024; i += 64) __builtin_prefetch(p + i);
    }
    static inline int64_t mp_clock(clockid_t id) {
        struct timespec t;
        clock_gettime(id, &t);
        return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
    }

    /* word = tick * 2 + someone waits; each publish makes it another value and clears the bit */
    static inline void mp_wake(uint32_t *word) {
        uint32_t old = mp_load(word);
        while (!mp_cas32(word, old, (old + 2) & ~1u)) old = mp_load(word);
        if (old & 1) syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
    }
    /* what is no publish wakes without asking for the bit: a publisher that was killed after it had cleared
       the bit and before it had woken anybody leaves sleepers whom no bit tells of */
    static inline void mp_wake_all(uint32_t *word) {
        mp_wake(word);
        syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
    }

    static int mp_waitv_missing = 0;
    /* sleeps until a word differs from what is expected or the CLOCK_MONOTONIC deadline (-1: none) passes;
       0 or an errno. One word takes the old call, several futex_waitv (5.16), else naps of 1 ms. */
    static int mp_sleep(uint32_t **words, uint32_t *expected, int n, int64_t deadline) {
        struct timespec t, *limit = NULL;
        mp_waiter waiters[128];
        long r;
        if (deadline >= 0) { t.tv_sec = deadline / 1000000000; t.tv_nsec = deadline % 1000000000; limit = &t; }
        if (n > 1 && n <= 128 && !mp_waitv_missing) {
            for (int i = 0; i < n; i++) {
                waiters[i].val = expected[i]; waiters[i].uaddr = (uintptr_t)words[i];
                waiters[i].flags = 2 /* FUTEX2_SIZE_U32 */; waiters[i].reserved = 0;
            }
            r = syscall(SYS_futex_waitv, waiters, n, 0, limit, CLOCK_MONOTONIC);
            if (r >= 0) return 0;
            if (errno == EAGAIN || errno == EINTR || errno == ETIMEDOUT) return errno;
            mp_waitv_missing = 1;  /* ENOSYS, or what a sandbox says to a call that it does not know */
        }
        if (n > 1) {
            int64_t nap = mp_clock(CLOCK_MONOTONIC) + 1000000;
            if (limit == NULL || nap < deadline) {
                t.tv_sec = nap / 1000000000; t.tv_nsec = nap % 1000000000;
                r = syscall(SYS_futex, words[0], FUTEX_WAIT_BITSET, expected[0], &t, NULL, FUTEX_BITSET_MATCH_ANY);
                return r < 0 && errno != ETIMEDOUT ? errno : 0;
            }
        }
        r = syscall(SYS_futex, words[0], FUTEX_WAIT_BITSET, expected[0], limit, NULL, FUTEX_BITSET_MATCH_ANY);
        return r < 0 ? errno : 0;
    }

    /* after a fork the child closes these at once (a copy of the descriptor would hold its parent's locks)
       and every handle made before notices by the generation. A number that leads to another file by now is
       let alone: it was closed behind our back and used again. */
    typedef struct { int fd; dev_t device; ino_t inode; } mp_guard;
    static uint64_t mp_generation = 1;
    static mp_guard mp_guarded[8192];
    static int mp_guarded_count = 0;
    static void mp_child(void) {
        struct stat found;
        mp_generation++;
        while (mp_guarded_count > 0) {
            mp_guard *one = &mp_guarded[--mp_guarded_count];
            if (fstat(one->fd, &found) == 0 && found.st_dev == one->device && found.st_ino == one->inode)
                close(one->fd);
        }
    }
    /* 0, an errno, or -1: the table is full */
    static int mp_guard_fd(int fd) {
        struct stat found;
        int i;
        if (fstat(fd, &found) != 0) return errno;
        for (i = 0; i < mp_guarded_count && mp_guarded[i].fd != fd; i++) ;
        if (i == 8192) return -1;
        mp_guarded[i] = (mp_guard){fd, found.st_dev, found.st_ino};
        if (i == mp_guarded_count) mp_guarded_count++;
        return 0;
    }
    static void mp_unguard_fd(int fd) {
        for (int i = 0; i < mp_guarded_count; i++)
            if (mp_guarded[i].fd == fd) { mp_guarded[i] = mp_guarded[--mp_guarded_count]; return; }
    }
    /* numpy's array object as every extension compiled against it knows it (ndarraytypes.h,
       PyArrayObject_fields; unchanged from 1.x to 2.x). `look_inside` proves it before it is used. */
    typedef struct {
        PyObject_HEAD
        char *data;
        int nd;
        Py_ssize_t *dimensions, *strides;
        PyObject *base, *descr;
        int flags;
    } mp_array;

    static int mp_at_fork(void) { return pthread_atfork(NULL, NULL, mp_child); }
    """
    ctypedef struct PyObject
    uint64_t mp_load(uint64_t *) noexcept nogil
    uint32_t mp_load32 "mp_load"(uint32_t *) noexcept nogil
    uint64_t mp_load_acquire(uint64_t *) noexcept nogil
    uint32_t mp_load_acquire32 "mp_load_acquire"(uint32_t *) noexcept nogil
    void mp_store(uint64_t *, uint64_t) noexcept nogil
    void mp_store_release(uint64_t *, uint64_t) noexcept nogil
    void mp_fence_release() noexcept nogil
    void mp_fence_acquire() noexcept nogil
    void mp_fence_full() noexcept nogil
    int mp_cas32(uint32_t *, uint32_t, uint32_t) noexcept nogil
    int mp_cas64(uint64_t *, uint64_t, uint64_t) noexcept nogil
    void mp_pause() noexcept nogil
    int64_t mp_clock(int) noexcept nogil
    void mp_prefetch(const uint8_t *, uint64_t) noexcept nogil
    void mp_wake(uint32_t *) noexcept nogil
    void mp_wake_all(uint32_t *) noexcept nogil
    int mp_sleep(uint32_t **, uint32_t *, int, int64_t) noexcept nogil
    int mp_at_fork()
    int mp_guard_fd(int) noexcept nogil
    void mp_unguard_fd(int) noexcept nogil
    ctypedef struct mp_array:
        char *data
        int nd
        Py_ssize_t *dimensions
        PyObject *descr
        int flags
    uint64_t mp_generation
    int mp_waitv_missing
    const int CLOCK_BOOTTIME
    const int CLOCK_MONOTONIC
    const int64_t LAPSED_SPIN_NS
    const int ETIMEDOUT
    const int EINTR
    const int O_RDONLY
    const int O_RDWR
    const int O_CLOEXEC
    int open_file "open"(const char *, int) noexcept nogil
    int close_file "close"(int) noexcept nogil
    const int PROT_READ
    const int PROT_WRITE
    const int MAP_SHARED
    void *MAP_FAILED
    void *mmap(void *, size_t, int, int, int, int64_t) noexcept nogil
    int munmap(void *, size_t) noexcept nogil
    unsigned long pthread_self() noexcept nogil
    int getpid() noexcept nogil

cdef enum:
    COMMITTED = 128
    WAKE = 192
    EPOCH = 256
    WRITER_PID = 264
    WRITER_START = 272
    CLAIMED_NS = 280
    RETIRED = 288
    SLOT = 64
    TRIES = 200
    GLANCES = 128            # 2 to 6 us where a pause takes 20 to 45 ns
    MOST_WORDS = 128
    UNLOCKED_COPY = 65536
    STREAMED = 16384         # no memcpy writes smaller blocks past the cache (glibc: 0x4040)
    CONTIGUOUS = 0x001   # NPY_ARRAY_C_CONTIGUOUS
    WRITEABLE = 0x400    # NPY_ARRAY_WRITEABLE

OFFSET_COMMITTED, OFFSET_WAKE, OFFSET_EPOCH, OFFSET_WRITER_PID = COMMITTED, WAKE, EPOCH, WRITER_PID
OFFSET_WRITER_START, OFFSET_CLAIMED_NS, OFFSET_RETIRED = WRITER_START, CLAIMED_NS, RETIRED
SLOT_HEADER = SLOT
MAX_TRIES = TRIES
cdef double LONGEST_WAIT_S = 4e9  # what an int64_t of ns since boot can hold

if mp_at_fork() != 0:
    raise ImportError("pthread_atfork refused: no memory")


def guard(int fd):
    """Have a fork's child close this descriptor at once: it carries a lock of this process."""
    cdef int code = mp_guard_fd(fd)
    if code < 0:
        raise OSError("more than 8,192 locks in one process")
    if code:
        raise OSError(code, strerror(code).decode())


def unguard(int fd):
    """Forget a descriptor that is about to be closed."""
    mp_unguard_fd(fd)


def generation():
    """Give a number that differs in a forked child."""
    return mp_generation


def boottime_ns():
    """Give CLOCK_BOOTTIME in ns: it goes on while the machine sleeps and no one sets it."""
    return mp_clock(CLOCK_BOOTTIME)


def retire(uint8_t[::1] head):
    """Mark a segment, given its writable header page, as given up; wakes who waits on it."""
    if head.shape[0] < 4096:
        raise ValueError("a header page has 4,096 bytes")
    mp_store_release(<uint64_t *>&head[RETIRED], 1)
    mp_wake_all(<uint32_t *>&head[WAKE])


def waits_on_many():
    """Tell whether this kernel sleeps on several words at once (futex_waitv, Linux 5.16)."""
    cdef uint32_t word = 0
    cdef uint32_t *words[2]
    cdef uint32_t expected[2]
    words[0] = words[1] = &word
    expected[0] = expected[1] = 1
    mp_sleep(words, expected, 2, 0)
    return mp_waitv_missing == 0


cdef class Memory:
    """An open file's first bytes, shared; mapped until the last buffer of it is gone.

    The file is opened anew for it. A mapping holds its open file, as a copy of the descriptor does (and
    `mmap.mmap` keeps one of those too), and a lock ends with the last of them: mapped through the descriptor
    that carries a lock, it would outlive the closing, and the process itself in each forked child.
    """

    cdef void *at
    cdef Py_ssize_t size
    cdef bint writable

    def __cinit__(self, int fd, Py_ssize_t size, bint writable):
        cdef int code
        cdef bytes path = b"/proc/self/fd/%d" % fd
        cdef int own = open_file(path, (O_RDWR if writable else O_RDONLY) | O_CLOEXEC)
        if own < 0:
            raise OSError(errno, f"{path.decode()}: {strerror(errno).decode()}")
        self.at = mmap(NULL, size, PROT_READ | (PROT_WRITE if writable else 0), MAP_SHARED, own, 0)
        code = errno
        close_file(own)
        if self.at == MAP_FAILED:
            self.at = NULL
            raise OSError(code, f"mmap of {size} bytes: {strerror(code).decode()}")
        self.size, self.writable = size, writable

    def __dealloc__(self):
        if self.at != NULL:
            munmap(self.at, self.size)

    def __len__(self):
        return self.size

    def __getbuffer__(self, Py_buffer *buffer, int flags):
        PyBuffer_FillInfo(buffer, self, self.at, self.size, not self.writable, flags)


cdef bint seen_inside = False


def look_inside(array):
    """Find out, on a 2-dimensional C-contiguous writable array, whether `mp_array` fits this numpy."""
    global seen_inside
    cdef mp_array *inner = <mp_array *><PyObject *>array
    cdef Py_buffer buffer
    PyObject_GetBuffer(array, &buffer, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE)
    seen_inside = (inner.data == <char *>buffer.buf and inner.nd == 2 and inner.dimensions[0] == array.shape[0]
                   and inner.dimensions[1] == array.shape[1] and inner.descr == <PyObject *>array.dtype
                   and inner.flags & (CONTIGUOUS | WRITEABLE) == CONTIGUOUS | WRITEABLE)
    array.flags.writeable = False
    seen_inside = seen_inside and not inner.flags & WRITEABLE
    PyBuffer_Release(&buffer)
    return seen_inside


def _form(array):
    return f"{type(array).__name__} of dtype {getattr(array, 'dtype', None)}, shape {getattr(array, 'shape', None)}"


cdef class Record:
    """One record as it was read: a copy that nobody changes any more.

    Attributes: value (ndarray of the channel's dtype and shape), version, epoch (which claim wrote it),
    written_ns (CLOCK_BOOTTIME), origin_ns and token (a bridge's, else 0), age_s at the read, fresh at the
    read (None where nobody said what stale is), redealt (of a pool's input: another instance had it before
    and died). Iterates as value, version, epoch, age_s.
    """

    cdef readonly object value
    cdef readonly uint64_t version, epoch, token
    cdef readonly int64_t written_ns, origin_ns
    cdef readonly double age_s
    cdef readonly object fresh
    cdef readonly bint redealt

    def _mark_redealt(self):
        self.redealt = True

    def __iter__(self):
        return iter((self.value, self.version, self.epoch, self.age_s))

    def __repr__(self):
        return (f"Record(version={self.version}, epoch={self.epoch}, age_s={self.age_s:.6f}, "
                f"fresh={self.fresh}, value={self.value!r})")


cdef class Doorbell:
    """A word that ends every wait which watches it: how a component is asked to stop.

    It lies in the given writable buffer at the given offset (shared), or in this object (private).
    """

    cdef Py_buffer buffer
    cdef uint32_t own
    cdef uint32_t *word
    cdef bint mapped

    def __cinit__(self, object buffer=None, Py_ssize_t offset=0):
        self.word = &self.own
        if buffer is not None:
            PyObject_GetBuffer(buffer, &self.buffer, PyBUF_WRITABLE)
            self.mapped = True
            if offset < 0 or offset + 4 > self.buffer.len or offset % 4:
                raise ValueError("the doorbell lies outside its buffer")
            self.word = <uint32_t *>(<uint8_t *>self.buffer.buf + offset)

    def __dealloc__(self):
        if self.mapped:
            PyBuffer_Release(&self.buffer)

    @property
    def rung(self):
        """Whether it was rung since `reset`."""
        return mp_load_acquire32(self.word) & ~1u != 0

    def ring(self):
        """End all waits that watch it, now and until `reset`."""
        mp_wake_all(self.word)
        if mp_load32(self.word) & ~1u == 0:  # 2^31 rings later
            mp_wake_all(self.word)

    def reset(self):
        """Be silent again."""
        cdef uint32_t old = mp_load32(self.word)
        while not mp_cas32(self.word, old, old & 1):  # who sleeps on it stays known
            old = mp_load32(self.word)

    cdef bint heed(self, uint32_t **words, uint32_t *expected):
        """Prepare to sleep on it as well; False if it is rung, or has changed at this moment."""
        cdef uint32_t old = mp_load_acquire32(self.word)
        words[0], expected[0] = self.word, old | 1
        return not old & ~1u and (old & 1 or mp_cas32(self.word, old, old | 1))

    def wait_until(self, int64_t deadline_ns, Doorbell other=None):
        """Sleep until it is rung (True) or CLOCK_MONOTONIC has reached the deadline (False); -1 is never.

        Another bell ends the sleep as well (False).
        """
        cdef uint32_t *words[2]
        cdef uint32_t expected[2]
        cdef int code
        cdef int n = 1 if other is None else 2
        while True:
            if self.rung:
                return True
            if other is not None and other.rung:
                return False
            if deadline_ns >= 0 and mp_clock(CLOCK_MONOTONIC) >= deadline_ns:
                return False
            if not self.heed(&words[0], &expected[0]):
                continue
            if other is not None and not other.heed(&words[1], &expected[1]):
                continue
            with nogil:
                code = mp_sleep(words, expected, n, deadline_ns)
            if code == EINTR:
                PyErr_CheckSignals()


cdef class Ring:
    """The memory side of a channel: what `Channel` adds is names, locks and lifetimes."""

    cdef Py_buffer head_buffer, data_buffer
    cdef uint8_t *head          # page 0, writable
    cdef uint8_t *slots         # slot 0
    cdef bint mapped, writable
    cdef uint64_t stride, count, generation, claim_epoch, newest, slot_index, pending
    cdef Py_ssize_t size        # bytes of a record
    cdef unsigned long thread   # who publishes; 0: not yet known
    cdef int users              # threads inside without the GIL
    cdef readonly object name, dtype, shape
    cdef object seen_dtype, empty, ndarray
    cdef int ndim
    cdef Py_ssize_t dims[32]
    cdef Doorbell bell
    cdef uint64_t told_epoch, told_retired
    cdef bint told_dead
    cdef bint hot               # the last wait was short: the next spins first
    cdef public uint64_t watched_epoch
    cdef public uint64_t dead_epoch  # the epoch whose writer is known to be dead
    cdef public int64_t stale_after_ns
    cdef public bint may_spin
    cdef readonly uint64_t overruns

    def _map(self, str name, object head, object data, Py_ssize_t offset, uint64_t stride, uint64_t count,
             Py_ssize_t size, object dtype, tuple shape, object empty, object ndarray, bint writable):
        """Take the mappings: `head` is the writable header page, `data` the whole segment."""
        self._unmap()
        self.name, self.dtype, self.shape, self.empty, self.ndarray = name, dtype, shape, empty, ndarray
        self.ndim = len(shape)
        for i in range(self.ndim):
            self.dims[i] = shape[i]
        PyObject_GetBuffer(head, &self.head_buffer, PyBUF_WRITABLE)
        try:
            PyObject_GetBuffer(data, &self.data_buffer, PyBUF_WRITABLE if writable else PyBUF_SIMPLE)
        except BaseException:
            PyBuffer_Release(&self.head_buffer)
            raise
        self.mapped = True
        if (self.head_buffer.len < 4096 or stride < <uint64_t>size + SLOT or count < 2
                or offset + stride * count > <uint64_t>self.data_buffer.len):
            self._unmap()
            raise ValueError("the slots lie outside the segment")
        self.head = <uint8_t *>self.head_buffer.buf
        self.slots = <uint8_t *>self.data_buffer.buf + offset
        self.stride, self.count, self.size, self.writable = stride, count, size, writable
        self.generation = mp_generation
        self.told_epoch = mp_load_acquire(<uint64_t *>(self.head + EPOCH))
        self.told_retired = mp_load(<uint64_t *>(self.head + RETIRED))
        self.told_dead = self.told_epoch == 0
        self.seen_dtype = dtype

    def _unmap(self):
        """Let go of the mappings; they live on while a view of them does."""
        self._check_idle()
        self.head = NULL
        self.claim_epoch = 0
        self.thread = 0
        if self.mapped:
            self.mapped = False
            PyBuffer_Release(&self.head_buffer)
            PyBuffer_Release(&self.data_buffer)

    def __dealloc__(self):
        cdef uint64_t pid = getpid()
        if self.mapped:
            if self.claim_epoch and self.head != NULL and self.generation == mp_generation and mp_load(
                    <uint64_t *>(self.head + EPOCH)) == self.claim_epoch:
                # a writer's handle was dropped without close(): its waiters are told. By compare-and-swap,
                # for its lock is gone already and another may be the writer.
                if mp_cas64(<uint64_t *>(self.head + WRITER_PID), pid, 0):
                    mp_wake_all(<uint32_t *>(self.head + WAKE))
            PyBuffer_Release(&self.head_buffer)
            PyBuffer_Release(&self.data_buffer)

    def _check_idle(self):
        """Raise BusyError while a thread is inside this handle or a record is being written."""
        if self.users:
            raise BusyError(self.name, "another thread is inside this handle: stop it first")
        if self.pending:
            raise BusyError(self.name, "a record is being written: leave `writing` first")

    def _check_usable(self):
        """Raise ClosedError or ForkedError for a handle that is no good any more."""
        self.usable()

    cdef inline int usable(self) except -1:
        if self.head == NULL or self.generation != mp_generation:
            self.refuse()
        return 0

    cdef int refuse(self) except -1:
        if self.mapped and self.generation != mp_generation:
            raise ForkedError(self.name)
        raise ClosedError(self.name)

    cdef inline int readable(self) except -1:
        self.usable()
        if mp_load(<uint64_t *>(self.head + RETIRED)) != 0:
            self._retired()
            self.usable()  # Python ran: another thread may have closed it
        return 0

    def _retired(self):
        """Called on each read of a retired segment; `Channel` says whether another took its name."""

    # what the header says ------------------------------------------------------------------------------

    @property
    def version(self):
        """The newest record's version; 0 before the first."""
        self.usable()
        return mp_load_acquire(<uint64_t *>(self.head + COMMITTED))

    @property
    def epoch(self):
        """How often the channel was claimed."""
        self.usable()
        return mp_load_acquire(<uint64_t *>(self.head + EPOCH))

    @property
    def writer_pid(self):
        """The pid of the last claim, 0 after its release. It explains; the lock decides."""
        self.usable()
        return mp_load_acquire(<uint64_t *>(self.head + WRITER_PID))

    @property
    def _writer_start(self):
        """The start time of the last claim's process: with its pid it names that process for ever."""
        self.usable()
        return mp_load_acquire(<uint64_t *>(self.head + WRITER_START))

    @property
    def retired(self):
        """Whether the segment's name was given up."""
        self.usable()
        return mp_load_acquire(<uint64_t *>(self.head + RETIRED)) != 0

    # writing -------------------------------------------------------------------------------------------

    def _begin_claim(self, uint64_t pid, uint64_t start):
        """Raise the epoch and take up after the last committed version; the caller holds the lock."""
        cdef uint64_t epoch
        self.usable()
        epoch = mp_load(<uint64_t *>(self.head + EPOCH)) + 1
        mp_store(<uint64_t *>(self.head + WRITER_START), start)
        mp_store(<uint64_t *>(self.head + CLAIMED_NS), mp_clock(CLOCK_BOOTTIME))
        mp_store_release(<uint64_t *>(self.head + WRITER_PID), pid)
        mp_store_release(<uint64_t *>(self.head + EPOCH), epoch)  # a writer before us is fenced from here on
        self.newest = mp_load_acquire(<uint64_t *>(self.head + COMMITTED))
        self.slot_index = self.newest % self.count
        self.claim_epoch, self.thread, self.pending = epoch, 0, 0
        self.told_epoch, self.told_dead = epoch, False
        mp_wake_all(<uint32_t *>(self.head + WAKE))
        return epoch

    @property
    def _is_writer(self):
        """Whether this handle's claim still stands: nobody claimed after it."""
        self.usable()
        return self.claim_epoch != 0 and self.claim_epoch == mp_load(<uint64_t *>(self.head + EPOCH))

    def _end_claim(self):
        """Write no more; gives the epoch that ends, for `_tell_release` once the lock is let go.

        A late publish is told that it is fenced rather than that it never claimed.
        """
        cdef uint64_t epoch = self.claim_epoch
        self.usable()
        if self.pending:
            raise BusyError(self.name, "a record is being written: leave `writing` first")
        self.claim_epoch = <uint64_t>-1
        return epoch

    def _tell_release(self, uint64_t epoch):
        """Say that nobody writes and wake who waits: after the lock is free, so that a waiter may claim.

        Another may have claimed by then: its pid stays, by compare-and-swap.
        """
        self.usable()
        if mp_load(<uint64_t *>(self.head + EPOCH)) == epoch:
            if mp_cas64(<uint64_t *>(self.head + WRITER_PID), getpid(), 0):
                mp_wake_all(<uint32_t *>(self.head + WAKE))

    def _wake(self):
        """End the sleep of all waiters, so that they look again."""
        if self.head != NULL and self.generation == mp_generation:
            mp_wake_all(<uint32_t *>(self.head + WAKE))

    cdef int may_not_write(self) except -1:
        cdef uint64_t epoch
        self.usable()
        epoch = mp_load(<uint64_t *>(self.head + EPOCH))
        if self.claim_epoch == 0:
            raise NotClaimedError(self.name)
        if self.claim_epoch != epoch:
            raise FencedError(self.name, epoch if self.claim_epoch == <uint64_t>-1 else self.claim_epoch, epoch)
        if self.pending:
            raise BusyError(self.name, "a record is being written: leave `writing` first, one thread at a time")
        raise BusyError(self.name, "another thread publishes through this handle: claim from one thread")

    cdef inline uint8_t *begin(self) noexcept:
        """All guards of a write, then W1 and W2; gives the slot, NULL where `may_not_write` has the reason."""
        cdef uint8_t *slot
        cdef uint64_t index
        if (self.head == NULL or self.generation != mp_generation or self.pending
                or mp_load(<uint64_t *>(self.head + EPOCH)) != self.claim_epoch):
            return NULL
        if self.thread != pthread_self():
            if self.thread or not self.claim_epoch:
                return NULL
            self.thread = pthread_self()
        index = self.slot_index + 1
        if index == self.count:
            index = 0
        self.slot_index = index
        self.pending = self.newest + 1
        slot = self.slots + index * self.stride
        mp_store(<uint64_t *>slot, self.pending * 2 + 1)   # W1
        mp_fence_release()                                  # W2, pairs with R4
        if self.size >= STREAMED:
            mp_fence_full()
        return slot

    cdef inline uint64_t commit(self, uint8_t *slot, int64_t origin, uint64_t token) noexcept:
        cdef uint64_t version = self.pending
        (<uint64_t *>slot)[2] = self.claim_epoch
        (<int64_t *>slot)[3] = origin
        (<uint64_t *>slot)[4] = token
        (<int64_t *>slot)[1] = mp_clock(CLOCK_BOOTTIME)
        mp_store_release(<uint64_t *>slot, version * 2)                        # W4, pairs with R2
        mp_store_release(<uint64_t *>(self.head + COMMITTED), version)         # W5, pairs with R1
        self.newest = version
        self.pending = 0
        mp_wake(<uint32_t *>(self.head + WAKE))                                # W6
        return version

    cdef inline char *inside(self, object array, int flags) noexcept:
        """Give an array's memory if it is of the channel's dtype and shape, else NULL: ask `address`."""
        cdef mp_array *inner = <mp_array *><PyObject *>array
        cdef int i
        if (not seen_inside or type(array) is not self.ndarray or inner.descr != <PyObject *>self.seen_dtype
                or inner.flags & flags != flags or inner.nd != self.ndim):
            return NULL
        for i in range(self.ndim):
            if inner.dimensions[i] != self.dims[i]:
                return NULL
        return inner.data

    cdef char *address(self, object array, int flags) except? NULL:
        """Do as `inside`, the long way: for another dtype object that is equal, and a numpy of unknown form.

        Not by the buffer protocol, which knows no datetime64 and no overlapping fields.
        """
        if type(array) is not self.ndarray:
            return NULL
        dtype = array.dtype
        if dtype is not self.seen_dtype:
            if dtype != self.dtype:
                return NULL
            self.seen_dtype = dtype
        if array.shape != self.shape or not array.flags.c_contiguous:
            return NULL
        if flags & WRITEABLE and not array.flags.writeable:
            return NULL
        return <char *><uintptr_t>array.__array_interface__["data"][0]

    cdef object put(self, object array):
        """Publish one array; None if its form is not the channel's."""
        cdef uint8_t *slot
        cdef char *data = self.inside(array, CONTIGUOUS)
        if data == NULL:
            data = self.address(array, CONTIGUOUS)
            if data == NULL:
                return None
        slot = self.begin()
        if slot == NULL:
            self.may_not_write()
        if self.size < UNLOCKED_COPY:
            memcpy(slot + SLOT, data, self.size)                                # W3
            return self.commit(slot, 0, 0)
        self.users += 1
        with nogil:
            memcpy(slot + SLOT, data, self.size)                                # W3
        self.users -= 1
        return self._commit_writing()

    def _publish(self, array=None, /, **fields):
        """Do as `publish`, whatever it is given."""
        version = None if fields else self.put(array)
        if version is None:
            self.usable()
            version = self.put(self._from_fields(array, fields) if array is None or fields else self._conform(array))
            if version is None:
                raise MismatchError(self.name, f"no way to the memory of {_form(array)}")
        return version

    def _begin_writing(self):
        """Open the next slot for zero-copy writing; gives its index."""
        if self.begin() == NULL:
            self.may_not_write()
        return self.slot_index

    def _commit_writing(self):
        """Publish what was written since `_begin_writing`."""
        self.usable()
        if self.pending == 0:
            raise BusyError(self.name, "nothing is being written")
        mp_fence_full()
        if mp_load(<uint64_t *>(self.head + EPOCH)) != self.claim_epoch:
            self._abort_writing()
            self.may_not_write()
        return self.commit(self.slots + self.slot_index * self.stride, 0, 0)

    def _abort_writing(self):
        """Leave the slot unpublished; the next record takes it."""
        if self.pending:
            self.pending = 0
            self.slot_index = (self.count if self.slot_index == 0 else self.slot_index) - 1

    # reading -------------------------------------------------------------------------------------------

    cdef inline int copy(self, uint64_t version, uint8_t *target, uint64_t *words) noexcept nogil:
        """Copy that version's record and its slot words; 1 if it was whole throughout."""
        cdef uint8_t *slot = self.slots + version % self.count * self.stride
        if mp_load_acquire(<uint64_t *>slot) != version * 2:                    # R2, pairs with W4
            return 0
        words[0] = (<uint64_t *>slot)[1]
        words[1] = (<uint64_t *>slot)[2]
        words[2] = (<uint64_t *>slot)[3]
        words[3] = (<uint64_t *>slot)[4]
        memcpy(target, slot + SLOT, self.size)                                  # R3
        mp_fence_acquire()                                                      # R4, pairs with W2
        return mp_load(<uint64_t *>slot) == version * 2                         # R5

    cdef uint64_t fetch(self, uint8_t *target, uint64_t *words) except? 0:
        """Copy the newest record; 0 without one."""
        cdef uint64_t version
        cdef int whole, i
        for i in range(TRIES):
            version = mp_load_acquire(<uint64_t *>(self.head + COMMITTED))      # R1, pairs with W5
            if version == 0:
                return 0
            if self.size < UNLOCKED_COPY:
                whole = self.copy(version, target, words)
            else:
                self.users += 1
                with nogil:
                    whole = self.copy(version, target, words)
                self.users -= 1
            if whole:
                return version
            mp_pause()
        self._overrun(TRIES)

    def _overrun(self, int tries):
        """Count a read that was given up, and raise OverrunError."""
        self.overruns += 1
        raise OverrunError(self.name, tries)

    def latest_into(self, array, /):
        """Copy the newest record into an array of the channel's dtype and shape; gives its version, 0 if none.

        Raises MismatchError, OverrunError, ReplacedError, ClosedError, ForkedError.
        """
        cdef uint64_t words[4]
        cdef char *data
        self.readable()
        data = self.inside(array, CONTIGUOUS | WRITEABLE)
        if data == NULL:
            data = self.address(array, CONTIGUOUS | WRITEABLE)
            if data == NULL:
                raise MismatchError(self.name, "latest_into fills a writable C-contiguous array of the channel's "
                                    f"dtype {self.dtype} and shape {self.shape}, given {_form(array)}")
            self.usable()
        return self.fetch(<uint8_t *>data, words)

    cdef char *target(self, object value) except NULL:
        """Give the memory of an array that `empty` made just now."""
        cdef char *data = self.inside(value, CONTIGUOUS | WRITEABLE)
        if data == NULL:
            data = self.address(value, CONTIGUOUS | WRITEABLE)
            if data == NULL:
                raise MismatchError(self.name, f"no way to the memory of {_form(value)}")
        self.usable()  # making the array may have run anything
        return data

    cdef Record record(self, object value, uint64_t version, uint64_t *words):
        cdef Record record = Record.__new__(Record)
        cdef int64_t age = mp_clock(CLOCK_BOOTTIME) - <int64_t>words[0]
        record.value = value
        record.version = version
        record.written_ns = <int64_t>words[0]
        record.epoch = words[1]
        record.origin_ns = <int64_t>words[2]
        record.token = words[3]
        record.age_s = age * 1e-9
        if self.stale_after_ns:
            record.fresh = age <= self.stale_after_ns
        return record

    def latest(self):
        """Give the newest record as a consistent copy, or None before the first.

        Raises OverrunError, ReplacedError, ClosedError, ForkedError.
        """
        cdef uint64_t words[4]
        cdef uint64_t version
        self.readable()
        if mp_load_acquire(<uint64_t *>(self.head + COMMITTED)) == 0:
            return None
        value = self.empty(self.shape, self.dtype)
        version = self.fetch(<uint8_t *>self.target(value), words)
        return self.record(value, version, words) if version else None

    def _latest_bytes(self):
        """Give (bytes, version, epoch, written_ns) of the newest record, or None: for readers without numpy."""
        cdef uint64_t words[4]
        cdef uint64_t version
        cdef bytearray value
        self.readable()
        value = bytearray(self.size)
        version = self.fetch(<uint8_t *><char *>value, words)
        return (value, version, words[1], <int64_t>words[0]) if version else None

    def _read(self, uint64_t version):
        """Give the record of that version, or None if it was overwritten or is not there yet."""
        cdef uint64_t words[4]
        cdef uint8_t *data
        cdef int whole
        self.readable()
        if version == 0 or version > mp_load_acquire(<uint64_t *>(self.head + COMMITTED)):  # R1
            return None
        value = self.empty(self.shape, self.dtype)
        data = <uint8_t *>self.target(value)
        self.users += 1
        with nogil:
            whole = self.copy(version, data, words)
        self.users -= 1
        return self.record(value, version, words) if whole else None

    def _peek(self):
        """Give (version, slot index, written_ns, epoch) of the newest record, for a zero-copy view."""
        cdef uint64_t version
        cdef uint8_t *slot
        self.readable()
        version = mp_load_acquire(<uint64_t *>(self.head + COMMITTED))          # R1
        slot = self.slots + version % self.count * self.stride
        if version == 0 or mp_load_acquire(<uint64_t *>slot) != version * 2:    # R2
            return None
        return version, version % self.count, (<int64_t *>slot)[1], (<uint64_t *>slot)[2]

    def _whole(self, uint64_t version):
        """Tell whether that version's slot still holds it: all that was read of it before was its own."""
        self.usable()
        mp_fence_acquire()                                                      # R4, pairs with W2
        return mp_load(<uint64_t *>(self.slots + version % self.count * self.stride)) == version * 2  # R5

    # waiting -------------------------------------------------------------------------------------------

    def _watch(self, uint64_t epoch):
        """Called once an epoch before a sleep: `Channel` has the writer's death end it."""

    def _set_doorbell(self, Doorbell bell):
        """Have every wait end when this bell is rung."""
        self.bell = bell

    cdef bint news(self, uint64_t version):
        """Whether a wait for more than `version` ends now; each death, claim or retirement ends one wait."""
        cdef uint64_t epoch = mp_load_acquire(<uint64_t *>(self.head + EPOCH))
        cdef uint64_t retired = mp_load(<uint64_t *>(self.head + RETIRED))
        cdef bint dead = epoch != 0 and (mp_load(<uint64_t *>(self.head + WRITER_PID)) == 0
                                         or self.dead_epoch == epoch)
        if mp_load_acquire(<uint64_t *>(self.head + COMMITTED)) > version:      # R1
            return True
        if epoch == self.told_epoch and retired == self.told_retired and (self.told_dead or not dead):
            return False
        self.told_epoch, self.told_retired, self.told_dead = epoch, retired, dead
        return True

    cdef uint64_t glance(self, uint64_t known) noexcept:
        """Look, for some microseconds, for the answer that a hot pair's other side is about to give.

        The GIL is kept: giving it up and taking it back costs as much as the answer takes.
        """
        cdef uint64_t newest = known
        cdef int i
        for i in range(GLANCES):
            newest = mp_load_acquire(<uint64_t *>(self.head + COMMITTED))       # R1
            if newest > known:
                mp_prefetch(self.slots + newest % self.count * self.stride, self.stride)
                break
            mp_pause()
        return newest

    def wait(self, version, timeout_s=None):
        """Sleep until there is a record newer than `version`; gives the newest version.

        It ends as well, with the version as it is, after `timeout_s` seconds, when the component is asked to
        stop, and once for each death of the writer, new claim or replacement. Raises ReplacedError,
        ClosedError, ForkedError.
        """
        cdef uint64_t known = version
        cdef uint64_t newest
        self.readable()
        newest = mp_load_acquire(<uint64_t *>(self.head + COMMITTED))           # R1
        if newest <= known and self.hot and self.may_spin and (timeout_s is None or timeout_s > 0):
            newest = self.glance(known)
        if newest <= known:
            wait_for([self], [known], timeout_s)
            self.readable()
            newest = mp_load_acquire(<uint64_t *>(self.head + COMMITTED))
        return newest


# `publish` by hand: Cython would make an empty dict for `fields` at each call, a seventh of what it costs
cdef extern from "Python.h":
    ctypedef struct PyTypeObject:
        PyObject *tp_dict
    ctypedef struct PyMethodDef:
        const char *ml_name
        void *ml_meth
        int ml_flags
        const char *ml_doc
    int METH_FASTCALL
    int METH_KEYWORDS
    object PyDescr_NewMethod(PyTypeObject *, PyMethodDef *)
    int PyDict_SetItemString(PyObject *, const char *, object) except -1
    void PyType_Modified(PyTypeObject *)


cdef object publish_fast(PyObject *self, PyObject *const *arguments, Py_ssize_t count, PyObject *names):
    cdef Py_ssize_t i
    cdef object version
    if count == 1 and names == NULL:
        version = (<Ring>self).put(<object>arguments[0])
        if version is not None:
            return version
    positional = tuple([<object>arguments[i] for i in range(count)])
    fields = {}
    if names != NULL:
        for i, name in enumerate(<tuple>names):
            fields[name] = <object>arguments[count + i]
    return (<Ring>self)._publish(*positional, **fields)


cdef PyTypeObject *ring_type = <PyTypeObject *>Ring
cdef PyMethodDef publish_method = PyMethodDef("publish", <void *>publish_fast, METH_FASTCALL | METH_KEYWORDS, (
    b"publish($self, array=None, /, **fields)\n--\n\n"
    b"Publish one record, as an array of the channel's dtype and shape or as all fields by name.\n\n"
    b"Gives its version. Never waits for a reader. Raises MismatchError, NotClaimedError, FencedError,\n"
    b"BusyError (another thread), ClosedError, ForkedError."))
PyDict_SetItemString(ring_type.tp_dict, "publish", PyDescr_NewMethod(ring_type, &publish_method))
PyType_Modified(ring_type)


def wait_for(list rings, list versions, timeout_s, Doorbell alarm=None):
    """Wait on several rings at once (see `Ring.wait`); gives the indices of those that have news.

    An alarm that is rung ends it as the component's own bell does. More than 126 rings are looked at every millisecond, for the kernel sleeps on 128 words at most.
    """
    cdef Ring ring
    cdef Py_ssize_t entered = 0
    try:
        for ring in rings:
            ring.readable()
            ring.users += 1  # until the end: nobody closes it under us, whatever Python runs meanwhile
            entered += 1
        return wait_inside(rings, versions, timeout_s, alarm)
    finally:
        for ring in rings[:entered]:
            ring.users -= 1


cdef list wait_inside(list rings, list versions, timeout_s, Doorbell alarm):
    cdef uint32_t *words[MOST_WORDS]
    cdef uint32_t expected[MOST_WORDS]
    cdef uint64_t known[MOST_WORDS]
    cdef uint64_t *committed[MOST_WORDS]
    cdef Py_ssize_t total = len(rings), n = min(total, MOST_WORDS - 2)
    cdef int64_t began = mp_clock(CLOCK_MONOTONIC)
    cdef int64_t deadline = -1
    cdef int64_t limit
    cdef int code = 0, slept = 0
    cdef Py_ssize_t i, extra
    cdef Ring ring
    cdef Doorbell bell = None
    cdef bint spin = total == 1
    if timeout_s is not None:
        deadline = began + <int64_t>(min(max(0.0, timeout_s), LONGEST_WAIT_S) * 1e9)
        spin = spin and deadline != began
    for i in range(total):
        ring = rings[i]
        if ring.bell is not None:
            bell = ring.bell
        spin = spin and ring.hot and ring.may_spin
        if i < n:
            known[i] = versions[i]
            committed[i] = <uint64_t *>(ring.head + COMMITTED)
    while True:
        if spin:
            spin = False
            with nogil:
                spin_for(committed[0], known[0], bell.word if bell is not None else NULL, began)
        for i in range(n):  # each word is read before what it stands for, so that no change is slept over
            ring = rings[i]
            words[i] = <uint32_t *>(ring.head + WAKE)
            expected[i] = mp_load_acquire32(words[i])
        found = [i for i in range(total) if (<Ring>rings[i]).news(versions[i])]
        limit = mp_clock(CLOCK_MONOTONIC)
        if (found or (deadline >= 0 and limit >= deadline) or (bell is not None and bell.rung)
                or (alarm is not None and alarm.rung)):
            for ring in rings:
                ring.hot = limit - began < LAPSED_SPIN_NS and len(found) > 0
            return found
        if prepare(rings, versions, n, words, expected):
            continue
        extra = 0
        if bell is not None:
            if not bell.heed(&words[n], &expected[n]):
                continue
            extra = 1
        if alarm is not None:
            if not alarm.heed(&words[n + extra], &expected[n + extra]):
                continue
            extra += 1
        if total > n:
            limit += 1000000
            limit = limit if deadline < 0 or limit < deadline else deadline
        else:
            limit = deadline
        with nogil:
            code = mp_sleep(words, expected, n + extra, limit)
        if code == EINTR:
            PyErr_CheckSignals()
        for ring in rings:
            ring.readable()


cdef bint prepare(list rings, list versions, Py_ssize_t n, uint32_t **words, uint32_t *expected) except -1:
    """Have each writer watched and each waiting bit set; True if something changed meanwhile."""
    cdef Ring ring
    cdef uint64_t epoch
    cdef bint changed = False
    for i in range(len(rings)):
        ring = rings[i]
        epoch = mp_load_acquire(<uint64_t *>(ring.head + EPOCH))
        if epoch != ring.watched_epoch:
            if epoch:
                ring._watch(epoch)
                changed = changed or ring.dead_epoch == epoch
            ring.watched_epoch = epoch
        if i < n and not expected[i] & 1:
            if not mp_cas32(words[i], expected[i], expected[i] | 1):
                changed = True
            expected[i] |= 1
    return changed


cdef void spin_for(uint64_t *committed, uint64_t known, uint32_t *bell, int64_t began) noexcept nogil:
    """Look at one word for up to 50 us: a hot pair of processes never sleeps."""
    cdef int i
    while True:
        for i in range(64):
            if mp_load_acquire(committed) > known or (bell != NULL and mp_load32(bell) & ~1u):
                return
            mp_pause()
        if mp_clock(CLOCK_MONOTONIC) - began > LAPSED_SPIN_NS:
            return


# what `dolphin-mp bench` measures a channel against --------------------------------------------------------

cdef class Bare:
    """The least that carries an array to another process: a counter and a copy, without any guard.

    The counter stands at the begin of `shared`, the data 64 bytes behind it; `own` is what `send` copies from
    and `copy` copies to. As many calls as a channel's: what differs is the guards.
    """

    cdef Py_buffer shared, own
    cdef uint64_t seen

    def __cinit__(self, object shared, object own):
        PyObject_GetBuffer(shared, &self.shared, PyBUF_WRITABLE)
        PyObject_GetBuffer(own, &self.own, PyBUF_WRITABLE)
        if self.shared.len < 64 + self.own.len:
            raise ValueError("the array is larger than the memory")
        self.seen = mp_load_acquire(<uint64_t *>self.shared.buf)

    def __dealloc__(self):
        PyBuffer_Release(&self.shared)
        PyBuffer_Release(&self.own)

    def send(self):
        """Copy and count."""
        self.seen += 1
        memcpy(<uint8_t *>self.shared.buf + 64, self.own.buf, self.own.len)
        mp_store_release(<uint64_t *>self.shared.buf, self.seen)

    def wait(self):
        """Look at the counter until it has changed; raises TimeoutError after ten seconds."""
        cdef uint64_t spins = 0
        cdef int64_t limit = 0
        while mp_load_acquire(<uint64_t *>self.shared.buf) == self.seen:
            mp_pause()
            spins += 1
            if spins & 0xfffff == 0:
                limit = limit or mp_clock(CLOCK_MONOTONIC) + 10000000000
                if mp_clock(CLOCK_MONOTONIC) > limit:
                    raise TimeoutError("the other side sends nothing")
                PyErr_CheckSignals()
        self.seen = mp_load_acquire(<uint64_t *>self.shared.buf)

    def copy(self):
        """Copy what is there."""
        memcpy(self.own.buf, <uint8_t *>self.shared.buf + 64, self.own.len)
