/* SPDX-License-Identifier: Apache-2.0 */
/* Pulls images with skopeo, checks them, and bounds what they take. Relying party side. */
#include "cli/node_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/image_check.h"
#include "cli/push.h"

#define PATH_SIZE 4096u
#define IMAGES_MAX 1024u
#define WORDS_SIZE 4096u
#define PULL_PREFIX "pull."

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *walk)
{
    return remove(path) < 0 && errno != ENOENT ? -1 : 0;
}

static void remove_folder(const char *path)
{
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- skopeo ---- */

NORETURN static void run_skopeo(const char *option, const char *from, const char *to,
                                const char *folder, uint64_t size_max)
{
    struct rlimit limit = { .rlim_cur = size_max, .rlim_max = size_max };

    setenv("TMPDIR", folder, 1);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (setrlimit(RLIMIT_FSIZE, &limit) == 0)
        execlp("skopeo", "skopeo", "copy", "--quiet", option, "--", from, to, (char *)NULL);
    dprintf(2, "cloche: cannot start skopeo: %s\n", strerror(errno));
    _exit(127);
}

/* What it says goes to the log, and its last part to ret: by it the reason is told. */
static void hear(int fd, char ret[WORDS_SIZE])
{
    char piece[1024];
    size_t used = 0;
    ssize_t n;

    while ((n = read(fd, piece, sizeof piece)) > 0 || (n < 0 && errno == EINTR)) {
        size_t size = (size_t)MAX(n, 0);
        size_t kept = MIN(used, WORDS_SIZE - 1 - size);

        if (size && write(2, piece, size) < 0)
            size = 0;
        memmove(ret, ret + used - kept, kept);
        memcpy(ret + kept, piece, size);
        used = kept + size;
    }
    ret[used] = 0;
}

static int copy(const char *option, const char *from, const char *to, const char *folder,
                uint64_t size_max, struct err *err)
{
    char words[WORDS_SIZE] = "";
    int pipe_fds[2], status;
    pid_t child;

    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return err_set_errno(err, -errno, "cannot start skopeo");
    child = fork();
    if (child == 0) {
        dup2(pipe_fds[1], 2);
        run_skopeo(option, from, to, folder, size_max);
    }
    close(pipe_fds[1]);
    hear(pipe_fds[0], words);
    close(pipe_fds[0]);
    if (child < 0 || waitpid(child, &status, 0) < 0)
        return err_set_errno(err, -errno, "cannot start skopeo");
    if (status == 0)
        return 0;
    if (strcasestr(words, "no space left on device"))
        return err_set(err, -ENOSPC, "the disk that has %s is full: %s was not pulled", folder,
                       from);
    if (strcasestr(words, "file too large") || (WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ))
        return err_set(err, -EFBIG, "%s is larger than all images may be (--images-size)", from);
    return err_set(err, -EIO, "skopeo could not get %s", from);
}

/* Into FOLDER/image, an OCI layout whose layer is not compressed, whatever the registry has: what is mapped from it lies on page boundaries only then. */
static int get(const char *place, const char *folder, uint64_t size_max, struct err *err)
{
    char raw[PATH_SIZE + 16], layout[PATH_SIZE + 16];
    int rc;

    snprintf(raw, sizeof raw, "dir:%s/raw", folder);
    snprintf(layout, sizeof layout, "oci:%s/image", folder);
    rc = copy("--dest-decompress", place, raw, folder, size_max, err);
    if (rc == 0)
        rc = copy("--dest-oci-accept-uncompressed-layers", raw, layout, folder, size_max, err);
    remove_folder(raw + 4);
    return rc;
}

/* ---- one image ---- */

/* Whole, and the build's. */
static int check(const char *path, const char *digest, struct err *err)
{
    struct image_check image;
    char hex[97];
    int rc = image_check(path, &image, err);

    if (rc < 0)
        return rc == -ENOENT ? -EBADMSG : rc;
    if (strcmp(push_hex(image.app_digest, 48, hex), digest) != 0)
        rc = err_set(err, -EBADMSG, "it is not the build: its app digest is %s, the build's %s",
                     hex, digest);
    image_check_done(&image);
    return rc;
}

void node_store_remove(const char *path)
{
    remove_folder(path);
}

int node_store_pull(const char *folder, const char *digest, const char *place, uint64_t size_max,
                    char *ret, size_t ret_size, struct err *err)
{
    char own[PATH_SIZE], made[PATH_SIZE + 16];
    int rc;

    if (snprintf(ret, ret_size, "%s/images/%.96s", folder, digest) >= (int)ret_size ||
        snprintf(own, sizeof own, "%s/images/" PULL_PREFIX "%ld", folder, (long)getpid()) >=
            (int)sizeof own)
        return err_set_errno(err, -ENAMETOOLONG, "%.100s", folder);
    if (utimensat(AT_FDCWD, ret, NULL, 0) == 0) /* used now */
        return 0;
    if (strchr(own, ':'))
        return err_set(err, -EINVAL, "%s: a colon in its path: skopeo cannot write there", folder);
    snprintf(made, sizeof made, "%s/image", own);
    remove_folder(own);
    if (mkdir(own, 0700) < 0)
        return err_set_errno(err, -errno, "%s", own);
    rc = get(place, own, size_max, err);
    if (rc == 0)
        rc = check(made, digest, err);
    /* Another instance may have pulled the same. */
    if (rc == 0 && rename(made, ret) < 0 && errno != EEXIST && errno != ENOTEMPTY)
        rc = err_set_errno(err, -errno, "%s", ret);
    remove_folder(own);
    return rc == -EBADMSG ? err_wrap(err, rc, "%s", place) : rc;
}

/* ---- all of them ---- */

struct image {
    char name[128];
    struct timespec used;
    uint64_t size;
};

static bool is_digest_in(const char *name, const char *const *list, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (strncmp(name, list[i], 96) == 0)
            return true;
    return false;
}

/* Of a process that is gone. */
static void remove_left(const char *path, const char *name)
{
    long pid = strtol(name + sizeof PULL_PREFIX - 1, NULL, 10);

    if (pid > 0 && kill((pid_t)pid, 0) < 0 && errno == ESRCH)
        remove_folder(path);
}

/* nftw has no argument: of one thread alone, which trims. */
static uint64_t g_size;

static int add_size(const char *path, const struct stat *st, int type, struct FTW *walk)
{
    g_size += type == FTW_F ? (uint64_t)st->st_blocks * 512 : 0;
    return 0;
}

static uint64_t folder_size(const char *path)
{
    g_size = 0;
    nftw(path, add_size, 16, FTW_PHYS);
    return g_size;
}

static int compare_used(const void *a, const void *b)
{
    const struct timespec *x = &((const struct image *)a)->used,
                          *y = &((const struct image *)b)->used;

    return x->tv_sec != y->tv_sec ? (x->tv_sec < y->tv_sec ? -1 : 1)
                                  : (x->tv_nsec > y->tv_nsec) - (x->tv_nsec < y->tv_nsec);
}

static unsigned find_images(const char *folder, struct image *ret, unsigned max)
{
    DIR *dir = opendir(folder);
    unsigned count = 0;

    for (struct dirent *e = dir ? readdir(dir) : NULL; e && count < max; e = readdir(dir)) {
        char path[PATH_SIZE];
        struct stat st;

        if (snprintf(path, sizeof path, "%s/%s", folder, e->d_name) >= (int)sizeof path)
            continue;
        if (strncmp(e->d_name, PULL_PREFIX, sizeof PULL_PREFIX - 1) == 0)
            remove_left(path, e->d_name);
        if (strlen(e->d_name) != 96 || lstat(path, &st) < 0 || !S_ISDIR(st.st_mode))
            continue;
        ret[count] = (struct image){ .used = st.st_mtim, .size = folder_size(path) };
        memcpy(ret[count++].name, e->d_name, 97);
    }
    if (dir)
        closedir(dir);
    return count;
}

void node_store_trim(const char *folder, uint64_t size_max, const char *const *in_use,
                     unsigned in_use_count)
{
    struct image *images = calloc(IMAGES_MAX, sizeof *images);
    char images_folder[PATH_SIZE], path[2 * PATH_SIZE];
    uint64_t total = 0;
    unsigned count;

    snprintf(images_folder, sizeof images_folder, "%.4000s/images", folder);
    count = images ? find_images(images_folder, images, IMAGES_MAX) : 0;
    for (unsigned i = 0; i < count; i++)
        total += images[i].size;
    if (count > 1)
        qsort(images, count, sizeof *images, compare_used);
    for (unsigned i = 0; i < count && total > size_max; i++) {
        if (is_digest_in(images[i].name, in_use, in_use_count))
            continue;
        snprintf(path, sizeof path, "%s/%s", images_folder, images[i].name);
        remove_folder(path);
        total -= images[i].size;
        fprintf(stderr, "cloche node: removed the image %.16s..., not used for longest\n",
                images[i].name);
    }
    free(images);
}
