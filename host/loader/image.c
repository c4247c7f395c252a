/* SPDX-License-Identifier: Apache-2.0 */
/* Finds and maps the files of the sealed image. Untrusted side; nothing is verified here. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/loader/loader.h"

/* Where the loader itself lies: a container starts it from its image's folder. */
static int own_folder(char *path, size_t size)
{
    ssize_t len = readlink("/proc/self/exe", path, size - 1);
    char *slash;

    if (len < 0)
        return -errno;
    path[len] = 0;
    slash = strrchr(path, '/');
    if (slash)
        *slash = 0;
    return 0;
}

static int map_files(struct loader *l, struct err *err)
{
    for (unsigned i = 0; i < BUNDLE_FILE_COUNT; i++) {
        int rc = i == BUNDLE_LOADER ? 0 : bundle_map(&l->bundle.files[i], &l->files[i]);

        if (rc < 0)
            return err_set_errno(err, rc, "cannot map %s", bundle_file_name(i));
        if (i != BUNDLE_LOADER && ((uintptr_t)l->files[i].data & (PAGE_SIZE - 1)) != 0)
            return err_set(err, -EINVAL, "%s does not lie on a page boundary of the image",
                           bundle_file_name(i));
    }
    return 0;
}

int loader_image_open(struct loader *l, struct err *err)
{
    const struct bundle_map *json = &l->files[BUNDLE_DESCRIPTOR];
    const char *problem = "", *image = l->options.image;
    char folder[4096];
    size_t arena_size;
    int rc;

    if (!image) {
        rc = own_folder(folder, sizeof folder);
        if (rc < 0)
            return err_set_errno(err, rc, "/proc/self/exe");
        image = folder;
    }
    rc = bundle_open(image, &l->bundle, err);
    if (rc == 0)
        rc = map_files(l, err);
    if (rc < 0)
        return rc;
    if (json->size > IMAGE_DESCRIPTOR_SIZE_MAX)
        return err_set(err, -EINVAL, "the descriptor is too large");
    arena_size = 4 * json->size + 4096;
    l->descriptor_arena = malloc(arena_size);
    if (!l->descriptor_arena)
        return err_set_errno(err, -ENOMEM, "descriptor");
    rc = descriptor_parse((const char *)json->data, json->size, l->descriptor_arena, arena_size,
                          &l->descriptor, &problem);
    return rc < 0 ? err_set(err, rc, "the descriptor is not valid: %s", problem) : 0;
}
