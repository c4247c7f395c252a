/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The line discipline: termios, reading, and what written bytes become. Typed bytes are in ldisc_input.c. Trusted.
 */
#include "tee/libos/fs/tty/ldisc_private.h"

#include "tee/enclave/string.h"

#define TAB_WIDTH 8u

uint32_t byte_ring_peek(const struct byte_ring *r, void *dst, uint32_t size)
{
    uint32_t count = MIN(size, byte_ring_used(r)), at = r->tail & (r->size - 1);
    uint32_t first = MIN(count, r->size - at);

    memcpy(dst, r->bytes + at, first);
    memcpy((uint8_t *)dst + first, r->bytes, count - first);
    return count;
}

/* ---- output ---- */

static uint32_t room(const struct ldisc *l)
{
    return l->stopped ? LDISC_HELD_SIZE - l->held_count : byte_ring_free(l->out);
}

static void put_ring(struct ldisc *l, uint8_t c)
{
    if (byte_ring_free(l->out))
        l->out->bytes[l->out->head++ & (l->out->size - 1)] = c;
}

void ldisc_put(struct ldisc *l, uint8_t c)
{
    if (!l->stopped)
        put_ring(l, c);
    else if (l->held_count < LDISC_HELD_SIZE)
        l->held[l->held_count++] = c;
}

void ldisc_put_raw(struct ldisc *l, uint8_t c)
{
    put_ring(l, c);
}

static void put_tab(struct ldisc *l)
{
    uint32_t spaces = TAB_WIDTH - l->column % TAB_WIDTH;

    l->column += spaces;
    if ((l->termios.c_oflag & TABDLY) != XTABS) {
        ldisc_put(l, '\t');
        return;
    }
    while (spaces--)
        ldisc_put(l, ' ');
}

static void put_newline(struct ldisc *l)
{
    if (l->termios.c_oflag & (ONLRET | ONLCR))
        l->column = 0;
    l->canon_column = l->column;
    if (l->termios.c_oflag & ONLCR)
        ldisc_put(l, '\r');
    ldisc_put(l, '\n');
}

static void put_return(struct ldisc *l)
{
    if ((l->termios.c_oflag & ONOCR) && l->column == 0)
        return;
    if (l->termios.c_oflag & OCRNL) {
        if (l->termios.c_oflag & ONLRET)
            l->canon_column = l->column = 0;
        ldisc_put(l, '\n');
        return;
    }
    l->canon_column = l->column = 0;
    ldisc_put(l, '\r');
}

static void put_plain(struct ldisc *l, uint8_t c)
{
    if (!ldisc_is_control(c)) {
        if ((l->termios.c_oflag & OLCUC) && c >= 'a' && c <= 'z')
            c = (uint8_t)(c - 'a' + 'A');
        if (!ldisc_is_continuation(l, c))
            l->column++;
    }
    ldisc_put(l, c);
}

void ldisc_put_cooked(struct ldisc *l, uint8_t c)
{
    if (!(l->termios.c_oflag & OPOST)) {
        ldisc_put(l, c);
        return;
    }
    switch (c) {
    case '\n':
        put_newline(l);
        break;
    case '\r':
        put_return(l);
        break;
    case '\t':
        put_tab(l);
        break;
    case '\b':
        if (l->column > 0)
            l->column--;
        ldisc_put(l, c);
        break;
    default:
        put_plain(l, c);
        break;
    }
}

bool ldisc_is_writable(const struct ldisc *l)
{
    return !l->stopped && room(l) >= TAB_WIDTH;
}

size_t ldisc_output(struct ldisc *l, const uint8_t *src, size_t size)
{
    size_t done = 0;

    while (done < size && ldisc_is_writable(l))
        ldisc_put_cooked(l, src[done++]);
    return done;
}

void ldisc_stop(struct ldisc *l, bool by_call)
{
    l->stopped = true;
    l->stopped_by_call |= by_call;
}

void ldisc_start(struct ldisc *l, bool by_call)
{
    if (!l->stopped || (l->stopped_by_call && !by_call))
        return;
    l->stopped = l->stopped_by_call = false;
    for (uint32_t i = 0; i < l->held_count; i++)
        put_ring(l, l->held[i]);
    l->held_count = 0;
}

void ldisc_flush_output(struct ldisc *l)
{
    l->out->tail = l->out->head;
    l->held_count = 0;
}

/* ---- reading ---- */

static uint32_t slot(uint32_t at)
{
    return at % LDISC_INPUT_SIZE;
}

static bool is_marked(const struct ldisc *l, uint32_t at)
{
    return l->marks[slot(at) / 8] >> slot(at) % 8 & 1;
}

/* A marked NUL is the end of file that was typed. */
static bool is_end_of_file(const struct ldisc *l, uint32_t at)
{
    return is_marked(l, at) && l->input[slot(at)] == 0;
}

bool ldisc_is_readable(const struct ldisc *l, size_t minimum)
{
    if (l->termios.c_lflag & ICANON)
        return l->canon_head != l->tail;
    return l->head - l->tail >= MAX(minimum, 1u);
}

size_t ldisc_queued(const struct ldisc *l)
{
    size_t count = 0;

    if (!(l->termios.c_lflag & ICANON))
        return l->head - l->tail;
    for (uint32_t at = l->tail; at != l->canon_head; at++)
        count += !is_end_of_file(l, at);
    return count;
}

static void take(struct ldisc *l, uint8_t *dst, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        dst[i] = l->input[slot(l->tail + i)];
    l->tail += count;
}

static size_t read_line(struct ldisc *l, uint8_t *dst, size_t size)
{
    uint32_t waiting = l->canon_head - l->tail, count = 0;

    /* An end of file just behind a full buffer goes with it: the next read would take it for a second one. */
    while (count < waiting && count <= size && !is_marked(l, l->tail + count))
        count++;
    if (count < waiting && count <= size && is_end_of_file(l, l->tail + count)) {
        take(l, dst, count);
        l->tail++;
        return count;
    }
    if (count < waiting && count < size)
        count++; /* the newline */
    count = (uint32_t)MIN((size_t)count, size);
    take(l, dst, count);
    return count;
}

size_t ldisc_read(struct ldisc *l, uint8_t *dst, size_t size)
{
    uint32_t count;

    if (l->termios.c_lflag & ICANON)
        return read_line(l, dst, size);
    count = (uint32_t)MIN(size, (size_t)(l->head - l->tail));
    take(l, dst, count);
    l->canon_head = l->tail;
    return count;
}

bool ldisc_ended_line(const struct ldisc *l)
{
    return is_marked(l, l->tail - 1);
}

void ldisc_flush_input(struct ldisc *l)
{
    l->head = l->tail = l->canon_head = 0;
    l->erasing = l->lnext = false;
    memset(l->marks, 0, sizeof l->marks);
}

/* ---- termios ---- */

const struct termios2 ldisc_fresh_termios = {
    .c_iflag = ICRNL | IXON,
    .c_oflag = OPOST | ONLCR,
    .c_cflag = B38400 | CS8 | CREAD,
    .c_lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE | IEXTEN,
    .c_cc = { [VINTR] = 3,
              [VQUIT] = 28,
              [VERASE] = 127,
              [VKILL] = 21,
              [VEOF] = 4,
              [VMIN] = 1,
              [VSTART] = 17,
              [VSTOP] = 19,
              [VSUSP] = 26,
              [VREPRINT] = 18,
              [VDISCARD] = 15,
              [VWERASE] = 23,
              [VLNEXT] = 22 },
    .c_ispeed = 38400,
    .c_ospeed = 38400,
};

void ldisc_init(struct ldisc *l, struct byte_ring *out)
{
    memset(l, 0, sizeof *l);
    l->out = out;
    l->termios = ldisc_fresh_termios;
}

/* What was typed in the other mode: a line as it stands, or plain bytes. */
static void switch_canonical(struct ldisc *l)
{
    memset(l->marks, 0, sizeof l->marks);
    l->erasing = l->lnext = false;
    l->canon_head = l->termios.c_lflag & ICANON ? l->head : l->tail;
}

void ldisc_set_termios(struct ldisc *l, const struct termios2 *t)
{
    uint32_t was = l->termios.c_lflag;
    uint8_t line = l->termios.c_line;

    l->termios = *t;
    l->termios.c_line = line;
    l->termios.c_lflag &= ~(uint32_t)EXTPROC; /* line editing by the far end */
    /* A pseudo-terminal has eight bits, no parity, and listens. */
    l->termios.c_cflag = (t->c_cflag & ~(uint32_t)(CSIZE | PARENB)) | CS8 | CREAD;
    if ((was ^ l->termios.c_lflag) & ICANON)
        switch_canonical(l);
    if (!(l->termios.c_iflag & IXON) && l->stopped && !l->stopped_by_call)
        ldisc_start(l, false);
}
