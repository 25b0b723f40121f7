// out: files that appear whole or not at all.
//
// Where the system can (O_TMPFILE), the bytes go to a file without a name, which the kernel drops by itself when the
// program dies; elsewhere to a hidden temporary name. Commit syncs, links and renames, then syncs the folder.
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// A write past RLIMIT_FSIZE is then an error (EFBIG) with a message, not the end of the program.
static void survive_file_limit(void) {
    struct sigaction now;
    if (sigaction(SIGXFSZ, NULL, &now) == 0 && !(now.sa_flags & SA_SIGINFO) && now.sa_handler == SIG_DFL) {
        now.sa_handler = SIG_IGN;
        sigaction(SIGXFSZ, &now, NULL);
    }
}

static char *temporary_name(const char *path) {
    static atomic_uint counter;
    char *dir = base_dirname(path);
    char *name = base_sprintf("%s/.vise-%ld-%u", dir, (long)getpid(), atomic_fetch_add(&counter, 1));
    free(dir);
    return name;
}

static int open_nameless(const char *dir) {
#ifdef O_TMPFILE
    if (access("/proc/self/fd", X_OK) != 0) return -1; // commit links through it
    return open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
#else
    (void)dir;
    return -1;
#endif
}

static int open_named(const char *path, char **temporary) {
    for (int attempt = 0; attempt < 100; attempt++) {
        char *name = temporary_name(path);
        int fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0) {
            *temporary = name;
            return fd;
        }
        int failed = errno;
        free(name);
        errno = failed;
        if (failed != EEXIST) return -1;
    }
    return -1;
}

static int open_fd(base_out *out, base_err *err) {
    struct stat st;
    bool exists = stat(out->path, &st) == 0;
    if (exists && S_ISDIR(st.st_mode)) {
        base_fail(err, "%s is a folder, expected a file name to write to", out->path);
        return -1;
    }
    if (exists && !S_ISREG(st.st_mode)) { // a device or a pipe has nothing to rename over
        int fd = open(out->path, O_WRONLY | O_CLOEXEC);
        if (fd < 0) base_fail(err, "writing %s: %s", out->path, strerror(errno));
        return fd;
    }
    char *dir = base_dirname(out->path);
    int fd = -1;
    if (base_mkdirs(dir, err)) {
        fd = open_nameless(dir);
        if (fd < 0) fd = open_named(out->path, &out->temporary);
        if (fd < 0) base_fail(err, "writing %s: %s", out->path, strerror(errno));
        if (fd >= 0 && exists) (void)!fchmod(fd, st.st_mode & 0777); // a replaced file keeps its mode
    }
    free(dir);
    return fd;
}

bool base_out_open(base_out *out, const char *path, base_err *err) {
    *out = (base_out){0};
    if (!*path) return base_fail(err, "an empty name was given for a file to write");
    size_t length = strlen(path);
    if (path[length - 1] == '/') return base_fail(err, "%s is a folder, expected a file name to write to", path);
    survive_file_limit();
    char *target = realpath(path, NULL); // a link keeps pointing, what it points at is replaced
    out->path = target ? target : base_strdup(path);
    int fd = open_fd(out, err);
    if (fd >= 0 && !(out->file = fdopen(fd, "wb"))) {
        base_fail(err, "writing %s: %s", path, strerror(errno));
        close(fd);
    }
    if (out->file) return true;
    base_out_abort(out);
    return false;
}

// stdio forgets why an earlier write failed; one more byte to the doomed file asks the system again.
static int why_write_failed(int fd) {
    errno = 0;
    if (write(fd, "", 1) == 1 || errno == 0) return EIO;
    return errno;
}

static bool flush_all(base_out *out, bool regular, base_err *err) {
    int fd = fileno(out->file), failed = 0;
    bool earlier = ferror(out->file) != 0;
    if (fflush(out->file) != 0)
        failed = errno;
    else if (earlier)
        failed = why_write_failed(fd);
    else if (regular && fsync(fd) != 0)
        failed = errno;
    return failed == 0 || base_fail(err, "writing %s: %s", out->path, strerror(failed));
}

// Gives the nameless file a name: the final one when nothing is there, else a temporary one to rename.
static bool link_nameless(base_out *out, base_err *err) {
    char self[64];
    snprintf(self, sizeof self, "/proc/self/fd/%d", fileno(out->file));
    if (linkat(AT_FDCWD, self, AT_FDCWD, out->path, AT_SYMLINK_FOLLOW) == 0) return true;
    for (int attempt = 0; errno == EEXIST && attempt < 100; attempt++) {
        char *name = temporary_name(out->path);
        if (linkat(AT_FDCWD, self, AT_FDCWD, name, AT_SYMLINK_FOLLOW) == 0) {
            out->temporary = name;
            return true;
        }
        int failed = errno;
        free(name);
        errno = failed;
    }
    return base_fail(err, "writing %s: %s", out->path, strerror(errno));
}

static void sync_folder(const char *path) {
    char *dir = base_dirname(path);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        fsync(fd); // some file systems cannot; the rename holds without it
        close(fd);
    }
    free(dir);
}

bool base_out_commit(base_out *out, base_err *err) {
    if (!out->file) {
        base_out_abort(out);
        return base_fail(err, "a file was committed that is not open");
    }
    struct stat st;
    bool regular = fstat(fileno(out->file), &st) == 0 && S_ISREG(st.st_mode);
    bool good = flush_all(out, regular, err);
    if (good && regular && !out->temporary) good = link_nameless(out, err);
    if (good) {
        FILE *file = out->file;
        out->file = NULL;
        if (fclose(file) != 0) good = base_fail(err, "writing %s: %s", out->path, strerror(errno));
    }
    if (good && out->temporary) {
        if (rename(out->temporary, out->path) == 0) {
            free(out->temporary);
            out->temporary = NULL;
        } else {
            good = base_fail(err, "writing %s: %s", out->path, strerror(errno));
        }
    }
    if (good && regular) sync_folder(out->path);
    base_out_abort(out);
    return good;
}

void base_out_abort(base_out *out) {
    if (out->file) fclose(out->file);
    if (out->temporary) unlink(out->temporary);
    free(out->temporary);
    free(out->path);
    *out = (base_out){0};
}
