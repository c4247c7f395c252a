/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The line discipline of a terminal whose far end is the host (tee/libos/fs/tty/ldisc.c). The input is a row of steps: new
 * settings, bytes typed, bytes read or written, stops.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "tee/libos/fs/tty/ldisc.h"
#include "tests/fuzz/fuzz.h"

#define OUT_SIZE 256u

static const uint8_t *g_data;
static size_t g_size;

static size_t take(void *dst, size_t size)
{
    size_t n = MIN(size, g_size);

    memcpy(dst, g_data, n);
    g_data += n;
    g_size -= n;
    return n;
}

static void settings(struct ldisc *l)
{
    struct termios2 t = l->termios;

    take(&t.c_iflag, sizeof t.c_iflag);
    take(&t.c_oflag, sizeof t.c_oflag);
    take(&t.c_lflag, sizeof t.c_lflag);
    take(t.c_cc, sizeof t.c_cc);
    ldisc_set_termios(l, &t);
}

static void step(struct ldisc *l, uint8_t what, size_t size)
{
    uint8_t *bytes = malloc(size ? size : 1);
    size_t n;

    if (!bytes)
        abort();
    switch (what % 8) {
    case 0:
        settings(l);
        break;
    case 1:
    case 2:
    case 3:
        n = take(bytes, size);
        assert(ldisc_input(l, bytes, n) <= n);
        break;
    case 4:
        assert(ldisc_read(l, bytes, size) <= size);
        break;
    case 5:
        n = take(bytes, size);
        assert(ldisc_output(l, bytes, n) <= n);
        break;
    case 6:
        l->out->tail += MIN((uint32_t)size, byte_ring_used(l->out)); /* the far end reads */
        break;
    default:
        if (size & 1)
            ldisc_stop(l, size & 2);
        else
            ldisc_start(l, size & 2);
    }
    free(bytes);
    assert(ldisc_queued(l) <= LDISC_INPUT_SIZE && byte_ring_used(l->out) <= OUT_SIZE);
    assert(l->held_count <= LDISC_HELD_SIZE && l->head - l->tail <= LDISC_INPUT_SIZE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *out = malloc(OUT_SIZE);
    struct byte_ring ring = { .bytes = out, .size = OUT_SIZE };
    struct ldisc *l = malloc(sizeof *l);

    if (!out || !l)
        abort();
    ldisc_init(l, &ring);
    g_data = data;
    g_size = size;
    while (g_size >= 2) {
        uint8_t head[2];

        take(head, sizeof head);
        step(l, head[0], head[1]);
    }
    free(l);
    free(out);
    return 0;
}
