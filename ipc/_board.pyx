# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, embedsignature=False
"""What is read often of a process table: its rows, each with two cells and a kernel lock. Nothing else."""

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer
from libc.errno cimport errno
from libc.stdint cimport uint32_t, uint64_t, uint8_t
from libc.string cimport memcpy, strerror

cdef extern from *:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <errno.h>
    #include <fcntl.h>
    #include <string.h>
    #include <unistd.h>

    #define bd_load(p)             __atomic_load_n((p), __ATOMIC_RELAXED)
    #define bd_load_acquire(p)     __atomic_load_n((p), __ATOMIC_ACQUIRE)
    #define bd_store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
    #define bd_fence_release()     __atomic_thread_fence(__ATOMIC_RELEASE)
    #define bd_fence_acquire()     __atomic_thread_fence(__ATOMIC_ACQUIRE)

    /* whether another open file holds a lock on that byte; -1: errno says */
    static inline int bd_is_locked(int fd, long byte) {
        struct flock asked = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
        if (fcntl(fd, F_OFD_GETLK, &asked) < 0) return -1;
        return asked.l_type != F_UNLCK;
    }
    """
    uint64_t bd_load(uint64_t *) noexcept nogil
    uint64_t bd_load_acquire(uint64_t *) noexcept nogil
    void bd_store_release(uint64_t *, uint64_t) noexcept nogil
    void bd_fence_release() noexcept nogil
    void bd_fence_acquire() noexcept nogil
    int bd_is_locked(int, long) noexcept nogil
    size_t strnlen(const char *, size_t) noexcept nogil

cdef enum:
    NAME = 16         # of 48 bytes, behind pid, process group and start time
    NAME_SIZE = 48
    WORDS = 128       # beats, end of the last step, begin of the present one
    DEALT = 160       # records dealt, dealt again, lost
    TRIES = 200

OFFSET_NAME, OFFSET_WORDS, OFFSET_DEALT = NAME, WORDS, DEALT


cdef bytes read_cell(uint8_t *at, Py_ssize_t size):
    """Give a cell's content, or None if it was never written or changed at each of 200 tries."""
    cdef uint64_t version
    cdef bytes copy
    for _ in range(TRIES):
        version = bd_load_acquire(<uint64_t *>at)
        if version == 0:
            return None
        copy = (<char *>at + 8 + (version & 1) * size)[:size]
        bd_fence_acquire()
        if bd_load(<uint64_t *>at) == version:
            return copy
    return None


cdef class Cell:
    """A small block of bytes with one writer, in two versioned halves: a reader never sees a torn one.

    The word at the offset is the version; half `version % 2` is the current one. Source: the two-slot form
    of a channel's ring; a writer that dies in the midst leaves the other half as it was.
    """

    cdef Py_buffer buffer
    cdef uint8_t *at
    cdef Py_ssize_t size

    def __cinit__(self, object buffer, Py_ssize_t offset, Py_ssize_t size, bint writable=False):
        PyObject_GetBuffer(buffer, &self.buffer, PyBUF_WRITABLE if writable else PyBUF_SIMPLE)
        if offset < 0 or size < 0 or offset + 8 + 2 * size > self.buffer.len or offset % 8:
            raise ValueError("the cell lies outside its buffer")
        self.at = <uint8_t *>self.buffer.buf + offset
        self.size = size

    def __dealloc__(self):
        PyBuffer_Release(&self.buffer)

    def write(self, const uint8_t[::1] data):
        """Replace the content; `data` has the cell's size."""
        cdef uint64_t version = bd_load(<uint64_t *>self.at) + 1
        if self.buffer.readonly or data.shape[0] != self.size:
            raise ValueError(f"a cell of {self.size} bytes, given {data.shape[0]}, or mapped read-only")
        bd_fence_release()  # pairs with the acquire fence in read: our half's old readers notice the version
        memcpy(self.at + 8 + (version & 1) * self.size, &data[0], self.size)
        bd_store_release(<uint64_t *>self.at, version)

    def read(self):
        """Give the content as bytes, or None if it was never written or changed at each of 200 tries."""
        return read_cell(self.at, self.size)


cdef class Rows:
    """The rows of a table, to be read: one that is looked at takes under a microsecond.

    `first` is the first row's offset, `stride` from row to row, `count` of them; `lock` the byte that is the
    first row's lock; then offset in the row and size of each of two cells.
    """

    cdef Py_buffer buffer
    cdef uint8_t *first
    cdef Py_ssize_t stride, count, parent_at, parent_size, component_at, component_size
    cdef long lock

    def __cinit__(self, object buffer, Py_ssize_t first, Py_ssize_t stride, Py_ssize_t count, long lock,
                  Py_ssize_t parent_at, Py_ssize_t parent_size, Py_ssize_t component_at, Py_ssize_t component_size):
        PyObject_GetBuffer(buffer, &self.buffer, PyBUF_SIMPLE)
        if (min(first, stride, count, parent_at, component_at) < 0 or stride < DEALT + 24
                or parent_at + 8 + 2 * parent_size > stride or component_at + 8 + 2 * component_size > stride
                or first + count * stride > self.buffer.len or (first | stride | parent_at | component_at) % 8):
            raise ValueError("the rows lie outside their buffer")
        self.first = <uint8_t *>self.buffer.buf + first
        self.stride, self.count, self.lock = stride, count, lock
        self.parent_at, self.parent_size = parent_at, parent_size
        self.component_at, self.component_size = component_at, component_size

    def __dealloc__(self):
        PyBuffer_Release(&self.buffer)

    def read(self, int fd, Py_ssize_t index):
        """Give name, pid, group, start, whether its lock is held by another open file, three words, both cells' bytes
        (or None) and three more words; raises IndexError, OSError."""
        cdef uint8_t *row
        cdef uint64_t *words
        cdef uint64_t *dealt
        cdef int locked
        if not 0 <= index < self.count:
            raise IndexError(f"row {index} of {self.count}")
        row = self.first + index * self.stride
        locked = bd_is_locked(fd, self.lock + index)
        if locked < 0:
            raise OSError(errno, strerror(errno).decode())
        words = <uint64_t *>(row + WORDS)
        dealt = <uint64_t *>(row + DEALT)
        return (
            (<char *>row + NAME)[:strnlen(<char *>row + NAME, NAME_SIZE)].decode("utf-8", "replace"),
            (<uint32_t *>row)[0],
            (<uint32_t *>row)[1],
            bd_load(<uint64_t *>(row + 8)),
            locked == 1,
            bd_load(words),
            bd_load(words + 1),
            bd_load(words + 2),
            read_cell(row + self.parent_at, self.parent_size),
            read_cell(row + self.component_at, self.component_size),
            bd_load(dealt),
            bd_load(dealt + 1),
            bd_load(dealt + 2),
        )
