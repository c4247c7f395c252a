/* SPDX-License-Identifier: Apache-2.0 */
/* Finds out what kind of source a reference names, and reads it. Relying party. */
#include "builder/source.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/json_pull.h"

extern char **environ;

/* What skopeo takes that is not a path; see containers-transports(5). */
static const char *const g_transports[] = { "docker://",           "docker-daemon:",  "oci:",
                                            "oci-archive:",        "docker-archive:", "dir:",
                                            "containers-storage:", "ostree:" };

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

static int source_init(struct source *s, struct err *err)
{
    *s = (struct source){ .spool = { .fd = -1 },
                          .config = { .workdir = "", .user = "", .stop_signal = "" } };
    int rc = tree_init(&s->tree);

    if (rc < 0)
        return err_set_errno(err, rc, "source");
    rc = spool_init(&s->spool, err);
    if (rc < 0)
        source_done(s);
    return rc;
}

void source_done(struct source *s)
{
    tree_done(&s->tree);
    spool_done(&s->spool);
}

/* Last name of the reference, without tag, digest and the endings of archives. */
static const char *name_of(struct source *s, const char *reference)
{
    static const char *const endings[] = { ".tar", ".tar.gz",  ".tar.xz", ".tar.zst",
                                           ".tgz", ".tar.bz2", ".oci" };
    size_t end = strlen(reference), start;

    while (end > 0 && reference[end - 1] == '/')
        end--;
    for (start = end; start > 0 && reference[start - 1] != '/'; start--)
        ;
    if (strncmp(reference + start, "docker-daemon:", 14) == 0)
        start += 14;
    for (size_t i = start; i < end; i++)
        if ((reference[i] == ':' || reference[i] == '@') && i > start) {
            end = i;
            break;
        }
    for (size_t i = 0; i < ARRAY_COUNT(endings); i++) {
        size_t len = strlen(endings[i]);

        if (end - start > len && memcmp(reference + end - len, endings[i], len) == 0) {
            end -= len;
            break;
        }
    }
    if (end == start || strncmp(reference + start, ".", end - start) == 0)
        return "image";
    const char *name = arena_copy(&s->tree.arena, reference + start, end - start);

    return name && !json_pull_is_utf8(name) ? "image" : name;
}

/* Whether an archive that was read as a tree is an image, and not a root file system. */
static bool is_image(struct source *outer)
{
    const struct tree_inode *manifest = tree_find(&outer->tree, "manifest.json");
    char first = 0;

    if (tree_find(&outer->tree, "index.json") && tree_find(&outer->tree, "blobs/sha256"))
        return true;
    return manifest && S_ISREG(manifest->mode) && manifest->size > 0 &&
           spool_read(&outer->spool, manifest->spool_off, &first, 1, NULL) == 0 && first == '[';
}

static int archive_open(struct source *s, int fd, uint64_t size, struct progress *progress,
                        struct err *err)
{
    const struct source_span span = { fd, 0, size };

    progress_step(progress, "reading archive", size);
    int rc = source_archive_read(s, &span, 0, false, NULL, progress, err);

    if (rc < 0 || !is_image(s))
        return rc;
    struct source outer = *s;

    rc = source_init(s, err);
    if (rc < 0) {
        *s = outer;
        return rc;
    }
    rc = source_image_read(s, -1, &outer, progress, err);
    source_done(&outer);
    return rc;
}

static int folder_open(struct source *s, int fd, struct progress *progress, struct err *err)
{
    if (faccessat(fd, "index.json", F_OK, 0) == 0 && faccessat(fd, "blobs", F_OK, 0) == 0)
        return source_image_read(s, fd, NULL, progress, err);
    progress_step(progress, "reading folder", 0);
    return source_folder_read(s, fd, progress, err);
}

static int path_open(struct source *s, const char *path, struct progress *progress, struct err *err)
{
    CLEANUP(close_fd)
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        return err_set_errno(err, -errno, "cannot open it");
    if (S_ISDIR(st.st_mode))
        return folder_open(s, fd, progress, err);
    if (!S_ISREG(st.st_mode))
        return err_set(err, -EINVAL, "it is neither a folder nor an archive");
    return archive_open(s, fd, (uint64_t)st.st_size, progress, err);
}

/* ---- skopeo ---- */

static int entry_remove(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    return remove(path);
}

static void folder_remove(char **path)
{
    if (*path)
        nftw(*path, entry_remove, 16, FTW_DEPTH | FTW_PHYS);
    free(*path);
}

static bool has_policy(void)
{
    const char *home = getenv("HOME");
    char path[4096];

    if (access("/etc/containers/policy.json", R_OK) == 0)
        return true;
    snprintf(path, sizeof path, "%s/.config/containers/policy.json", home ? home : "");
    return access(path, R_OK) == 0;
}

static int program_run(char *const argv[], struct err *err)
{
    pid_t pid;
    int status, rc = posix_spawnp(&pid, argv[0], NULL, NULL, argv, environ);

    if (rc != 0)
        return err_set_errno(err, -rc, "cannot start %s", argv[0]);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        return err_set(err, -ENOENT, "%s is not installed (on Debian: apt install %s)", argv[0],
                       argv[0]);
    return err_set(err, -EIO, "%s failed; what it said is above", argv[0]);
}

static int skopeo_open(struct source *s, const char *reference, struct progress *progress,
                       struct err *err)
{
    const char *base = getenv("TMPDIR");
    CLEANUP(folder_remove)
    char *folder = NULL;
    const char *daemon = getenv("DOCKER_HOST");
    char *target, *argv[16];
    size_t argc = 0;

    if (asprintf(&folder, "%s/cloche-XXXXXX", base && base[0] ? base : "/var/tmp") < 0) {
        folder = NULL;
        return -ENOMEM;
    }
    if (!mkdtemp(folder)) {
        int rc = err_set_errno(err, -errno, "cannot make folder %s", folder);

        free(TAKE_PTR(folder));
        return rc;
    }
    target = arena_printf(&s->tree.arena, "oci:%s:image", folder);
    if (!target)
        return -ENOMEM;
    argv[argc++] = "skopeo";
    if (!has_policy())
        argv[argc++] = "--insecure-policy";
    argv[argc++] = "--override-os=linux";
    argv[argc++] = "--override-arch=amd64";
    argv[argc++] = "copy";
    argv[argc++] = "--quiet";
    /* To compress a layer only to read it again would take most of the build. */
    argv[argc++] = "--dest-oci-accept-uncompressed-layers";
    if (daemon && daemon[0] && strncmp(reference, "docker-daemon:", 14) == 0) {
        argv[argc++] = "--src-daemon-host";
        argv[argc++] = (char *)daemon;
    }
    argv[argc++] = (char *)reference;
    argv[argc++] = target;
    argv[argc] = NULL;
    progress_step(progress, "fetching with skopeo", 0);
    int rc = program_run(argv, err);

    return rc < 0 ? rc : path_open(s, folder, progress, err);
}

static bool is_transport(const char *reference)
{
    for (size_t i = 0; i < ARRAY_COUNT(g_transports); i++)
        if (strncmp(reference, g_transports[i], strlen(g_transports[i])) == 0)
            return true;
    return false;
}

int source_open(struct source *ret, const char *reference, struct progress *progress,
                struct err *err)
{
    struct source s;
    int rc = source_init(&s, err);

    if (rc < 0)
        return rc;
    if (access(reference, F_OK) < 0 && is_transport(reference))
        rc = skopeo_open(&s, reference, progress, err);
    else
        rc = path_open(&s, reference, progress, err);
    if (rc == 0) {
        s.name = name_of(&s, reference);
        rc = s.name ? 0 : -ENOMEM;
    }
    progress_done(progress);
    if (rc < 0) {
        source_done(&s);
        return err_wrap(err, rc, "%s", reference);
    }
    *ret = s;
    return 0;
}
