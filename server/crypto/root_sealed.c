/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The root key as a sealing key of the enclave that this server runs in (docs/evidence.md, /dev/cloche): enclaves of the same signer and product, of this security version
 * or a newer one, on this CPU. The record keeps what is needed to ask for it again. Relying party.
 */
#include <errno.h>
#include <fcntl.h>
#include <openssl/rand.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "abi/evidence.h"
#include "lib/ct.h"
#include "server/crypto/root.h"

#define DEVICE "/dev/cloche"
#define LABEL "cloched root key 1"

_Static_assert(sizeof(((struct evidence_key_request *)0)->key) == ROOT_KEY_SIZE, "key");

/* Asks for the key; the versions that it was made with are in the request afterwards. */
static int ask(struct evidence_key_request *request, struct err *err)
{
    int fd = open(DEVICE, O_RDWR | O_CLOEXEC), rc;

    if (fd < 0)
        return err_set_errno(err, errno == ENOENT ? -ENOENT : -errno,
                             "%s: this server does not run in an enclave (cloche run)", DEVICE);
    request->policy = EVIDENCE_KEY_MRSIGNER;
    request->label_size = sizeof LABEL - 1;
    memcpy(request->label, LABEL, sizeof LABEL - 1);
    rc = ioctl(fd, CLOCHE_IOC_KEY, request) < 0 ? -errno : 0;
    close(fd);
    if (rc == -EINVAL)
        return err_set(
            err, -EACCES,
            "the key was made by a newer version of this enclave, or on newer microcode");
    return rc < 0 ? err_set_errno(err, rc, "%s", DEVICE) : 0;
}

static int sealed_make(const char *location, json_t *record, uint8_t ret[ROOT_KEY_SIZE],
                       struct err *err)
{
    struct evidence_key_request request = { .flags = 0 };
    int rc;

    if (RAND_bytes(request.key_id, sizeof request.key_id) != 1)
        return err_set(err, -EIO, "no random bytes");
    rc = ask(&request, err);
    if (rc < 0)
        return rc;
    memcpy(ret, request.key, ROOT_KEY_SIZE);
    ct_wipe(request.key, sizeof request.key);
    if (root_record_put(record, "key_id", request.key_id, sizeof request.key_id) < 0 ||
        root_record_put(record, "cpu_svn", request.cpu_svn, sizeof request.cpu_svn) < 0 ||
        json_object_set_new(record, "isv_svn", json_integer(request.isv_svn)) < 0)
        return err_set_errno(err, -ENOMEM, "record");
    return 0;
}

static int sealed_get(const char *location, const json_t *record, uint8_t ret[ROOT_KEY_SIZE],
                      struct err *err)
{
    struct evidence_key_request request = { .flags = EVIDENCE_KEY_ISV_SVN | EVIDENCE_KEY_CPU_SVN };
    json_int_t isv_svn = json_integer_value(json_object_get(record, "isv_svn"));
    int rc = root_record_take(record, "key_id", request.key_id, sizeof request.key_id, err);

    if (rc == sizeof request.key_id)
        rc = root_record_take(record, "cpu_svn", request.cpu_svn, sizeof request.cpu_svn, err);
    if (rc < 0)
        return rc;
    if (rc != sizeof request.cpu_svn || isv_svn < 0 || isv_svn > UINT16_MAX)
        return err_set(err, -EBADMSG, "the root key's record in the store is damaged");
    request.isv_svn = (uint16_t)isv_svn;
    rc = ask(&request, err);
    if (rc == 0)
        memcpy(ret, request.key, ROOT_KEY_SIZE);
    ct_wipe(request.key, sizeof request.key);
    return rc;
}

const struct root_kind root_sealed = { "sealed", sealed_make, sealed_get };
