/* SPDX-License-Identifier: Apache-2.0 */
/* From a sealed image to a proposed build. Relying party side. */
#include "cli/push.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/image_check.h"

char *push_hex(const uint8_t *bytes, size_t size, char *ret)
{
    for (size_t i = 0; i < size; i++)
        snprintf(ret + 2 * i, 3, "%02x", bytes[i]);
    ret[2 * size] = 0;
    return ret;
}

static json_t *make_body(const struct push *push, const struct image_check *c,
                         const struct bundle_map *descriptor, const char *where)
{
    char digest[97], mrenclave[65], mrsigner[65], version[13];

    push_hex(c->app_digest, 48, digest);
    snprintf(version, sizeof version, "%.12s", digest);
    return json_pack("{s:s,s:s%,s:s,s:s,s:s,s:i,s:i,s:s}", "version",
                     push->version ? push->version : version, "descriptor",
                     (const char *)descriptor->data, descriptor->size, "app_digest", digest,
                     "mrenclave", push_hex(c->mrenclave, 32, mrenclave), "mrsigner",
                     push_hex(c->mrsigner, 32, mrsigner), "isv_prod_id", (int)c->isv_prod_id,
                     "isv_svn", (int)c->isv_svn, "image", where);
}

int push_build(struct remote *r, const struct push *push, json_t **ret_build)
{
    char path[REMOTE_PATH_SIZE];
    struct image_check c;
    struct bundle_map descriptor;
    char *where = push->where ? strdup(push->where) : realpath(push->image, NULL);
    json_t *body = NULL;
    int rc = where ? 0 : err_set_errno(&r->err, -errno, "%s", push->image);

    if (rc == 0)
        rc = image_check(push->image, &c, &r->err);
    if (rc < 0) {
        free(where);
        return rc;
    }
    rc = bundle_map(&c.bundle.files[BUNDLE_DESCRIPTOR], &descriptor);
    if (rc == 0) {
        body = make_body(push, &c, &descriptor, where);
        bundle_unmap(&descriptor);
        if (!body)
            rc = err_set(&r->err, -EINVAL, "the version or the image's place is no text");
    }
    if (rc == 0)
        rc = remote_call(r, "POST", remote_path(path, "/v1/apps/{}/builds", push->app), body,
                         ret_build);
    image_check_done(&c);
    free(where);
    return rc;
}
