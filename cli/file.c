/* SPDX-License-Identifier: Apache-2.0 */
/* Reads whole files. Relying party side. */
#include "cli/file.h"

#include <stdlib.h>

#include "lib/hosted/whole_file.h"

int file_bytes_read(const char *path, size_t max, struct file_bytes *ret, struct err *err)
{
    char *data;
    size_t size;
    int rc = whole_file_read(path, max, &data, &size, err);

    if (rc == 0)
        *ret = (struct file_bytes){ (uint8_t *)data, size };
    return rc;
}

void file_bytes_done(struct file_bytes *file)
{
    free(file->data);
    *file = (struct file_bytes){ 0 };
}
