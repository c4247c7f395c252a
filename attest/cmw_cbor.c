/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Conceptual message wrapper in CBOR: records are arrays or tags, collections maps. Relying party and agent; draft-ietf-rats-msg-wrap,
 * RFC 9277 (tags that stand for CoAP Content-Formats).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "attest/cbor.h"
#include "attest/cmw_item.h"

/* RFC 9277, appendix B: TN(ct) = 0x63740101 + (ct / 255) * 256 + ct % 255. */
#define TAG_FIRST 0x63740101u
#define TAG_LAST 1668612095u
#define FORMATS_PER_ROW 255u

/* Collections that are open, the innermost last, and how many pairs each still has. */
struct stack {
    struct {
        int index;
        uint64_t left;
    } open[CMW_DEPTH_MAX];
    unsigned count;
};

static int tag_to_format(uint64_t tag, uint32_t *ret)
{
    uint64_t off = tag - TAG_FIRST;

    if (tag < TAG_FIRST || tag > TAG_LAST || off % 256 >= FORMATS_PER_ROW)
        return -EINVAL;
    *ret = (uint32_t)(off / 256 * FORMATS_PER_ROW + off % 256);
    return 0;
}

/* A text of less than size bytes, without NUL inside. */
static int text_pull(struct cbor_pull *c, char *dst, size_t size)
{
    const uint8_t *text;
    size_t len;

    if (cbor_pull_string(c, CBOR_TEXT, &text, &len) < 0 || len >= size || memchr(text, 0, len))
        return -EINVAL;
    memcpy(dst, text, len);
    dst[len] = '\0';
    return 0;
}

static int value_pull(struct cbor_pull *c, struct cmw_item *item)
{
    const uint8_t *value;
    size_t size;

    if (cbor_pull_string(c, CBOR_BYTES, &value, &size) < 0)
        return -EINVAL;
    item->data = malloc(size + 1);
    if (!item->data)
        return -ENOMEM;
    memcpy(item->data, value, size);
    item->size = size;
    return 0;
}

static int array_pull(struct cbor_pull *c, struct cmw_item *item)
{
    uint64_t count, number;
    int rc;

    if (cbor_pull_head(c, CBOR_ARRAY, &count) < 0 || count < 2 || count > 3)
        return -EINVAL;
    if (cbor_pull_head(c, CBOR_UINT, &number) == 0) {
        if (number > UINT16_MAX)
            return -EINVAL;
        item->content_format = (uint32_t)number;
    } else if (text_pull(c, item->type, sizeof item->type) < 0 || !cmw_is_media_type(item->type)) {
        return -EINVAL;
    }
    rc = value_pull(c, item);
    if (rc < 0 || count == 2)
        return rc;
    if (cbor_pull_head(c, CBOR_UINT, &number) < 0 || number == 0 || number > UINT32_MAX)
        return -EINVAL;
    item->indicators = (uint32_t)number;
    return 0;
}

static int tag_pull(struct cbor_pull *c, struct cmw_item *item)
{
    uint64_t tag;

    if (cbor_pull_head(c, CBOR_TAG, &tag) < 0 || tag_to_format(tag, &item->content_format) < 0)
        return -EINVAL;
    return value_pull(c, item);
}

/* The item that is next; a collection is left open. */
static int item_pull(struct cbor_pull *c, struct cmw *cmw, int parent, const char *label,
                     struct stack *stack)
{
    int major = cbor_pull_peek(c), index;
    uint64_t count;

    if (major != CBOR_ARRAY && major != CBOR_MAP && major != CBOR_TAG)
        return -EINVAL;
    index = cmw_item_new(cmw, parent, label);
    if (index < 0)
        return index == -EEXIST ? -EINVAL : index;
    if (major == CBOR_ARRAY)
        return array_pull(c, &cmw->items[index]);
    if (major == CBOR_TAG)
        return tag_pull(c, &cmw->items[index]);
    if (cbor_pull_head(c, CBOR_MAP, &count) < 0 || count == 0)
        return -EINVAL;
    if (stack->count == CMW_DEPTH_MAX)
        return -E2BIG;
    cmw->items[index].is_collection = true;
    stack->open[stack->count].index = index;
    stack->open[stack->count++].left = count;
    return 0;
}

static int pair_pull(struct cbor_pull *c, struct cmw *cmw, struct stack *stack)
{
    int index = stack->open[stack->count - 1].index;
    struct cmw_item *collection = &cmw->items[index];
    char label[CMW_LABEL_SIZE];

    if (stack->open[stack->count - 1].left == 0) {
        if ((int)cmw->count == index + 1) /* a type and nothing else */
            return -EINVAL;
        stack->count--;
        return 0;
    }
    stack->open[stack->count - 1].left--;
    if (text_pull(c, label, sizeof label) < 0)
        return -EINVAL;
    if (strcmp(label, CMW_TYPE_LABEL) != 0)
        return item_pull(c, cmw, index, label, stack);
    if (collection->type[0] || text_pull(c, collection->type, sizeof collection->type) < 0 ||
        !cmw_is_collection_type(collection->type))
        return -EINVAL;
    return 0;
}

int cmw_cbor_parse(struct cmw *cmw, const uint8_t *data, size_t size, struct err *err)
{
    struct cbor_pull c = { data, size };
    struct stack stack = { .count = 0 };
    int rc = item_pull(&c, cmw, CMW_TOP, "", &stack);

    while (rc == 0 && stack.count > 0)
        rc = pair_pull(&c, cmw, &stack);
    if (rc == 0 && c.size > 0)
        rc = -EINVAL;
    if (rc == -E2BIG)
        return err_set(err, rc, "more than %u messages, or nested deeper than %u",
                       CMW_ITEM_COUNT_MAX, CMW_DEPTH_MAX);
    return rc == -EINVAL ? err_set(err, rc, "malformed at byte %zu", size - c.size) : rc;
}

/* ---- encoding ---- */

static uint64_t child_count(const struct cmw *cmw, int collection)
{
    uint64_t count = 0;

    for (unsigned i = 0; i < cmw->count; i++)
        count += cmw->items[i].parent == collection;
    return count;
}

static void record_add(struct buffer *b, const struct cmw_item *item)
{
    cbor_add_head(b, CBOR_ARRAY, item->indicators ? 3 : 2);
    if (item->type[0])
        cbor_add_text(b, item->type);
    else
        cbor_add_head(b, CBOR_UINT, item->content_format);
    cbor_add_bytes(b, item->data, item->size);
    if (item->indicators)
        cbor_add_head(b, CBOR_UINT, item->indicators);
}

int cmw_encode_cbor(const struct cmw *cmw, uint8_t **ret, size_t *ret_size)
{
    struct buffer b;
    int rc = cmw->count > 0 ? 0 : -EINVAL;

    buffer_init(&b, CMW_SIZE_MAX);
    for (unsigned i = 0; i < cmw->count && rc == 0; i++) {
        const struct cmw_item *item = &cmw->items[i];
        uint64_t count = child_count(cmw, (int)i);

        if (item->parent != CMW_TOP)
            cbor_add_text(&b, item->label);
        if (!item->is_collection) {
            record_add(&b, item);
            continue;
        }
        if (count == 0)
            rc = -EINVAL;
        cbor_add_head(&b, CBOR_MAP, count + (item->type[0] != '\0'));
        if (item->type[0]) {
            cbor_add_text(&b, CMW_TYPE_LABEL);
            cbor_add_text(&b, item->type);
        }
    }
    if (rc == 0)
        rc = buffer_take(&b, ret, ret_size);
    buffer_done(&b);
    return rc;
}
