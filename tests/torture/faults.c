/* Lets the n-th write below a folder fail, and where it is sticky all that follow, in this process
 * and those that it starts. To be preloaded. What it is told is in the environment:
 *
 *   FAULT_ROOT     the folder; calls elsewhere are let through
 *   FAULT_COUNTER  a file of 8 bytes, in which the calls of all processes are counted
 *   FAULT_AT       the call (from 1) that fails; 0 lets all through and only counts
 *   FAULT_ERRNO    the error
 *   FAULT_STICKY   1: every later call fails, too
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

static _Atomic long *counter;
static const char *root;
static size_t root_length;
static long at;
static int error_number, sticky;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void begin(void) {
  const char *file = getenv("FAULT_COUNTER"), *n = getenv("FAULT_AT"), *e = getenv("FAULT_ERRNO");
  const char *s = getenv("FAULT_STICKY");
  root = getenv("FAULT_ROOT");
  if (!file || !root || !n || !e) return;
  root_length = strlen(root);
  at = atol(n);
  error_number = atoi(e);
  sticky = s && *s == '1';
  int fd = REAL(open)(file, O_RDWR);
  if (fd < 0) return;
  void *page = mmap(NULL, sizeof(long), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (page != MAP_FAILED) counter = page;
}

static int below(const char *path) {
  return path && strncmp(path, root, root_length) == 0;
}

static int fails(const char *path) {
  if (!counter || !below(path)) return 0;
  long now = atomic_fetch_add(counter, 1) + 1;
  if (at && (now == at || (sticky && now > at))) {
    errno = error_number;
    return 1;
  }
  return 0;
}

static int fd_fails(int fd) {
  if (!counter) return 0;
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(link, path, sizeof path - 1);
  if (n <= 0) return 0;
  path[n] = 0;
  return fails(path);
}

ssize_t write(int fd, const void *buffer, size_t n) {
  return fd_fails(fd) ? -1 : REAL(write)(fd, buffer, n);
}
ssize_t pwrite(int fd, const void *buffer, size_t n, off_t offset) {
  return fd_fails(fd) ? -1 : REAL(pwrite)(fd, buffer, n, offset);
}
ssize_t pwrite64(int fd, const void *buffer, size_t n, off64_t offset) {
  return fd_fails(fd) ? -1 : REAL(pwrite64)(fd, buffer, n, offset);
}
ssize_t writev(int fd, const struct iovec *parts, int n) {
  return fd_fails(fd) ? -1 : REAL(writev)(fd, parts, n);
}
int fsync(int fd) { return fd_fails(fd) ? -1 : REAL(fsync)(fd); }
int fdatasync(int fd) { return fd_fails(fd) ? -1 : REAL(fdatasync)(fd); }
int ftruncate(int fd, off_t n) { return fd_fails(fd) ? -1 : REAL(ftruncate)(fd, n); }
int ftruncate64(int fd, off64_t n) { return fd_fails(fd) ? -1 : REAL(ftruncate64)(fd, n); }
int rename(const char *from, const char *to) { return fails(to) ? -1 : REAL(rename)(from, to); }
int mkdir(const char *path, mode_t mode) { return fails(path) ? -1 : REAL(mkdir)(path, mode); }

#define OPENS(name)                                                                               \
  int name(const char *path, int flags, ...) {                                                    \
    mode_t mode = 0;                                                                              \
    if (flags & (O_CREAT | O_TMPFILE)) {                                                          \
      va_list more;                                                                               \
      va_start(more, flags);                                                                      \
      mode = va_arg(more, mode_t);                                                                \
      va_end(more);                                                                               \
    }                                                                                             \
    if ((flags & O_ACCMODE) != O_RDONLY && fails(path)) return -1;                                \
    return ((int (*)(const char *, int, ...))dlsym(RTLD_NEXT, #name))(path, flags, mode);         \
  }
OPENS(open)
OPENS(open64)

#define OPENS_AT(name)                                                                            \
  int name(int folder, const char *path, int flags, ...) {                                        \
    mode_t mode = 0;                                                                              \
    if (flags & (O_CREAT | O_TMPFILE)) {                                                          \
      va_list more;                                                                               \
      va_start(more, flags);                                                                      \
      mode = va_arg(more, mode_t);                                                                \
      va_end(more);                                                                               \
    }                                                                                             \
    if ((flags & O_ACCMODE) != O_RDONLY && fails(path)) return -1;                                \
    return ((int (*)(int, const char *, int, ...))dlsym(RTLD_NEXT, #name))(folder, path, flags, mode); \
  }
OPENS_AT(openat)
OPENS_AT(openat64)
