/* A disk that fails: preloaded into a process (LD_PRELOAD), armed by disk_fails().

   From the n-th change below a folder on, the disk there is full, read-only or gone, or the process is killed.
   Changes are counted in memory that forks share, so that a first run says how many there are. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { NONE, FULL, READONLY, GONE, KILL };
static int kind = NONE;
static long after = LONG_MAX;
static char folder[PATH_MAX];
static size_t length;
static long *count;

__attribute__((constructor)) static void begin(void) {
    count = mmap(NULL, sizeof(long), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

long disk_changes(void) { return *count; }

void disk_fails(const char *where, long changes, int how) {
    strncpy(folder, where, PATH_MAX - 1);
    length = strlen(folder);
    after = changes;
    kind = how;
    *count = 0;
}

static int below(const char *path) {
    return length && path && !strncmp(path, folder, length) && (path[length] == '/' || !path[length]);
}

static int open_below(int fd) {
    char link[64], path[PATH_MAX];
    if (!length) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return below(path);
}

static int below_at(int fd, const char *path) { return path[0] == '/' ? below(path) : fd != AT_FDCWD && open_below(fd); }

/* Whether the disk fails now; counts a change. grows: needs new space. */
static int fails(int grows) {
    if (__sync_add_and_fetch(count, 1) <= after) return 0;
    if (kind == KILL) kill(getpid(), SIGKILL);
    errno = kind == FULL ? ENOSPC : kind == READONLY ? EROFS : EIO;
    return kind == FULL ? grows : kind != NONE;
}

static int is_gone(void) { return kind == GONE && *count > after; }

#define REAL(type, name, ...) static type (*real)(__VA_ARGS__); if (!real) real = dlsym(RTLD_NEXT, #name)

static int refuses_open(const char *path, int flags) {
    if (!below(path)) return 0;
    if (is_gone()) { errno = ENOENT; return 1; }
    int changes = flags & (O_WRONLY | O_RDWR | O_CREAT);
    return changes && fails((flags & O_CREAT) && access(path, F_OK));
}

#define OPEN(name)                                                              \
    int name(const char *path, int flags, ...) {                                \
        REAL(int, name, const char *, int, ...);                                \
        va_list more; va_start(more, flags); mode_t mode = va_arg(more, mode_t); va_end(more); \
        return refuses_open(path, flags) ? -1 : real(path, flags, mode);        \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                            \
    int name(int fd, const char *path, int flags, ...) {                        \
        REAL(int, name, int, const char *, int, ...);                           \
        va_list more; va_start(more, flags); mode_t mode = va_arg(more, mode_t); va_end(more); \
        return refuses_open(path, flags) ? -1 : real(fd, path, flags, mode);    \
    }
OPENAT(openat)
OPENAT(openat64)

static int grows(int fd, off_t end) {
    struct stat found;
    return fstat(fd, &found) || end > found.st_size;
}

ssize_t write(int fd, const void *data, size_t n) {
    REAL(ssize_t, write, int, const void *, size_t);
    return open_below(fd) && fails(grows(fd, lseek(fd, 0, SEEK_CUR) + n)) ? -1 : real(fd, data, n);
}

ssize_t writev(int fd, const struct iovec *parts, int n) {
    REAL(ssize_t, writev, int, const struct iovec *, int);
    return open_below(fd) && fails(1) ? -1 : real(fd, parts, n);
}

#define PWRITE(name, offset_type)                                               \
    ssize_t name(int fd, const void *data, size_t n, offset_type at) {          \
        REAL(ssize_t, name, int, const void *, size_t, offset_type);            \
        return open_below(fd) && fails(grows(fd, at + n)) ? -1 : real(fd, data, n, at); \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define TRUNCATE(name, offset_type)                                             \
    int name(int fd, offset_type size) {                                        \
        REAL(int, name, int, offset_type);                                      \
        return open_below(fd) && fails(0) ? -1 : real(fd, size);                \
    }
TRUNCATE(ftruncate, off_t)
TRUNCATE(ftruncate64, off64_t)

#define ALLOCATE(name, offset_type)                                             \
    int name(int fd, offset_type at, offset_type size) {                        \
        REAL(int, name, int, offset_type, offset_type);                         \
        return open_below(fd) && fails(1) ? errno : real(fd, at, size);         \
    }
ALLOCATE(posix_fallocate, off_t)
ALLOCATE(posix_fallocate64, off64_t)

ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t n, unsigned flags) {
    REAL(ssize_t, copy_file_range, int, off64_t *, int, off64_t *, size_t, unsigned);
    return open_below(out) && fails(1) ? -1 : real(in, from, out, to, n, flags);
}

#define SENDFILE(name, offset_type)                                             \
    ssize_t name(int out, int in, offset_type *at, size_t n) {                  \
        REAL(ssize_t, name, int, int, offset_type *, size_t);                   \
        return open_below(out) && fails(1) ? -1 : real(out, in, at, n);         \
    }
SENDFILE(sendfile, off_t)
SENDFILE(sendfile64, off64_t)

#define STATVFS(name, type)                                                     \
    int name(const char *path, struct type *found) {                            \
        REAL(int, name, const char *, struct type *);                           \
        int code = real(path, found);                                           \
        if (!code && below(path) && *count > after) {                           \
            if (kind == FULL) found->f_bavail = 0;                              \
            if (kind == READONLY) found->f_flag |= ST_RDONLY;                   \
        }                                                                       \
        return code;                                                            \
    }
STATVFS(statvfs, statvfs)
STATVFS(statvfs64, statvfs64)

int rename(const char *from, const char *to) {
    REAL(int, rename, const char *, const char *);
    return below(to) && fails(0) ? -1 : real(from, to);
}

int mkdir(const char *path, mode_t mode) {
    REAL(int, mkdir, const char *, mode_t);
    return below(path) && fails(1) ? -1 : real(path, mode);
}

int unlink(const char *path) {
    REAL(int, unlink, const char *);
    return below(path) && fails(0) ? -1 : real(path);
}

int unlinkat(int fd, const char *path, int flags) {
    REAL(int, unlinkat, int, const char *, int);
    return below_at(fd, path) && fails(0) ? -1 : real(fd, path, flags);
}

int rmdir(const char *path) {
    REAL(int, rmdir, const char *);
    return below(path) && fails(0) ? -1 : real(path);
}
