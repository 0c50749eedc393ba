# cython: language_level=3, embedsignature=False
"""A descriptor that a process holds until it begins to die, in a thread with a table of descriptors of its own.

The kernel takes a dying process' memory down, a millisecond for 50 MiB, before it closes its files and tells
of the death (do_exit in kernel/exit.c: exit_mm, exit_files, exit_notify). The memory is taken down by the last
of its threads, though: this one, which is mostly not the last, closes its only descriptor at once. Whoever
holds the other end of it hears then that the process is dying; that it is dead, a pidfd says.
"""

cdef extern from *:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <pthread.h>
    #include <sched.h>
    #include <semaphore.h>
    #include <signal.h>
    #include <sys/prctl.h>
    #include <sys/syscall.h>
    #include <unistd.h>

    #define TETHER_STACK (64 * 1024) /* as much as glibc wants with large thread-local storage; 2 pages used */
    #ifndef SYS_close_range
    #define SYS_close_range 436
    #endif

    static struct { sem_t told; int fd; int held; } tether;

    static void *tether_hold(void *unused) {
        int fd = tether.fd, last = ~0U >> 1;
        /* as two steps: close_range(CLOSE_RANGE_UNSHARE) copies only what lies below a single range */
        int held = unshare(CLONE_FILES) == 0;
        prctl(PR_SET_NAME, "tether");
        if (held && ((fd > 0 && syscall(SYS_close_range, 0, fd - 1, 0)) || syscall(SYS_close_range, fd + 1, last, 0)))
            for (int other = 0; other < 65536; other++) if (other != fd) close(other);
        tether.held = held;
        sem_post(&tether.told);
        while (held) pause(); /* every signal is blocked: SIGKILL and the end of the process alone end this */
        return unused;
    }

    static int tether_start(int fd) {
        sigset_t all, before;
        pthread_attr_t attr;
        pthread_t thread;
        tether.fd = fd;
        tether.held = 0;
        if (sem_init(&tether.told, 0, 0) || pthread_attr_init(&attr)) return 0;
        pthread_attr_setstacksize(&attr, TETHER_STACK);
        pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        int failed = pthread_create(&thread, &attr, tether_hold, NULL);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        pthread_attr_destroy(&attr);
        if (failed) return 0;
        while (sem_wait(&tether.told)) { }
        return tether.held;
    }
    """
    int tether_start(int fd) nogil


def hold(int fd):
    """Have a thread hold the descriptor until this process dies; the caller then closes its own.

    Gives False where that can't be (seccomp may forbid unshare(2)): nobody holds it then. Once a process.
    """
    cdef int held
    with nogil:
        held = tether_start(fd)
    return bool(held)
