/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The line discipline: what each typed byte does, and its echo. Trusted; every byte may be hostile.
 */
#include <asm/signal.h>

#include "tee/enclave/string.h"
#include "tee/libos/fs/tty/ldisc_private.h"

static uint32_t slot(uint32_t at)
{
    return at % LDISC_INPUT_SIZE;
}

static bool has(const struct ldisc *l, uint32_t lflag)
{
    return (l->termios.c_lflag & lflag) != 0;
}

/* Is c this special character? 0 in c_cc means that there is none. */
static bool is_special(const struct ldisc *l, uint8_t c, unsigned which)
{
    return c != 0 && l->termios.c_cc[which] == c;
}

/* ---- echo ---- */

static void echo_char(struct ldisc *l, uint8_t c)
{
    if (has(l, ECHOCTL) && ldisc_is_control(c) && c != '\t') {
        ldisc_put(l, '^');
        ldisc_put(l, c ^ 0x40);
        l->column += 2;
        return;
    }
    ldisc_put_cooked(l, c);
}

static void finish_erasing(struct ldisc *l)
{
    if (l->erasing)
        ldisc_put_cooked(l, '/');
    l->erasing = false;
}

static void echo_back(struct ldisc *l)
{
    ldisc_put_cooked(l, '\b');
    ldisc_put_cooked(l, ' ');
    ldisc_put_cooked(l, '\b');
}

/* Goes back over a tab: how wide it was depends on what stands before it. */
static void echo_erase_tab(struct ldisc *l)
{
    uint32_t at = l->head, count = 0;
    bool after_tab = false;

    while (at != l->canon_head && !after_tab) {
        uint8_t c = l->input[slot(--at)];

        if (c == '\t')
            after_tab = true;
        else if (ldisc_is_control(c))
            count += has(l, ECHOCTL) ? 2 : 0;
        else if (!ldisc_is_continuation(l, c))
            count++;
    }
    if (!after_tab)
        count += l->canon_column;
    for (uint32_t width = 8 - (count & 7); width; width--) {
        ldisc_put(l, '\b');
        if (l->column > 0)
            l->column--;
    }
}

/* c, the first byte of `size`, was taken off the line. */
static void echo_erased(struct ldisc *l, uint8_t c, uint32_t size, bool is_erase)
{
    if (has(l, ECHOPRT)) {
        if (!l->erasing)
            ldisc_put_cooked(l, '\\');
        l->erasing = true;
        echo_char(l, c);
        for (uint32_t i = 1; i < size; i++)
            ldisc_put(l, l->input[slot(l->head + i)]);
    } else if (is_erase && !has(l, ECHOE)) {
        echo_char(l, l->termios.c_cc[VERASE]);
    } else if (c == '\t') {
        echo_erase_tab(l);
    } else {
        if (ldisc_is_control(c) && has(l, ECHOCTL))
            echo_back(l);
        if (!ldisc_is_control(c) || has(l, ECHOCTL))
            echo_back(l);
    }
}

/* ---- erasing ---- */

static void erase_line(struct ldisc *l)
{
    l->head = l->canon_head;
    if (!has(l, ECHO))
        return;
    finish_erasing(l);
    echo_char(l, l->termios.c_cc[VKILL]);
    if (has(l, ECHOK))
        ldisc_put_cooked(l, '\n');
}

static bool is_word(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* Where the last character of the line begins; head itself when its beginning is missing. */
static uint32_t last_char(const struct ldisc *l)
{
    uint32_t at = l->head;

    do {
        at--;
    } while (ldisc_is_continuation(l, l->input[slot(at)]) && at != l->canon_head);
    return ldisc_is_continuation(l, l->input[slot(at)]) ? l->head : at;
}

static void erase(struct ldisc *l, unsigned which)
{
    bool seen_word = false;

    if (l->head == l->canon_head)
        return;
    if (which == VKILL && !(has(l, ECHO) && has(l, ECHOK) && has(l, ECHOKE) && has(l, ECHOE))) {
        erase_line(l);
        return;
    }
    while (l->head != l->canon_head) {
        uint32_t at = last_char(l), size = l->head - at;
        uint8_t c = l->input[slot(at)];

        if (size == 0)
            break;
        if (which == VWERASE && is_word(c))
            seen_word = true;
        else if (which == VWERASE && seen_word)
            break;
        l->head = at;
        if (has(l, ECHO))
            echo_erased(l, c, size, which == VERASE);
        if (which == VERASE)
            break;
    }
    if (l->head == l->canon_head && has(l, ECHO))
        finish_erasing(l);
}

/* ---- the line ---- */

static void put_input(struct ldisc *l, uint8_t c)
{
    l->marks[slot(l->head) / 8] &= (uint8_t) ~(1u << slot(l->head) % 8);
    l->input[slot(l->head++)] = c;
}

/* A line that is too long keeps its beginning; the last place is for its end. */
static void store(struct ldisc *l, uint8_t c)
{
    if (l->head - l->tail >= LDISC_INPUT_SIZE - 1)
        l->head--;
    put_input(l, c);
}

static void end_line(struct ldisc *l, uint8_t c)
{
    put_input(l, c);
    l->marks[slot(l->head - 1) / 8] |= (uint8_t)(1u << slot(l->head - 1) % 8);
    l->canon_head = l->head;
}

static void echo_typed(struct ldisc *l, uint8_t c)
{
    finish_erasing(l);
    if (c == '\n') {
        ldisc_put_cooked(l, c);
        return;
    }
    if (l->canon_head == l->head)
        l->canon_column = l->column;
    echo_char(l, c);
}

static void store_typed(struct ldisc *l, uint8_t c)
{
    if (has(l, ECHO))
        echo_typed(l, c);
    if (c == 0xff && (l->termios.c_iflag & PARMRK))
        store(l, c);
    store(l, c);
}

static void reprint(struct ldisc *l)
{
    finish_erasing(l);
    echo_char(l, l->termios.c_cc[VREPRINT]);
    ldisc_put_cooked(l, '\n');
    for (uint32_t at = l->canon_head; at != l->head; at++)
        echo_char(l, l->input[slot(at)]);
}

static void literal_next(struct ldisc *l)
{
    l->lnext = true;
    if (!has(l, ECHO))
        return;
    finish_erasing(l);
    if (has(l, ECHOCTL)) {
        ldisc_put(l, '^');
        ldisc_put(l, '\b');
    }
}

/* Editing characters of canonical mode. false: an ordinary character. */
static bool edit(struct ldisc *l, uint8_t c)
{
    if (is_special(l, c, VERASE)) {
        erase(l, VERASE);
    } else if (is_special(l, c, VKILL)) {
        erase(l, VKILL);
    } else if (is_special(l, c, VWERASE) && has(l, IEXTEN)) {
        erase(l, VWERASE);
    } else if (is_special(l, c, VLNEXT) && has(l, IEXTEN)) {
        literal_next(l);
    } else if (is_special(l, c, VREPRINT) && has(l, ECHO) && has(l, IEXTEN)) {
        reprint(l);
    } else if (c == '\n') {
        if (has(l, ECHO) || has(l, ECHONL))
            ldisc_put_cooked(l, c);
        end_line(l, c);
    } else if (is_special(l, c, VEOF)) {
        end_line(l, 0);
    } else if (is_special(l, c, VEOL) || (is_special(l, c, VEOL2) && has(l, IEXTEN))) {
        if (has(l, ECHO))
            echo_typed(l, c);
        if (c == 0xff && (l->termios.c_iflag & PARMRK))
            store(l, c);
        end_line(l, c);
    } else {
        return false;
    }
    return true;
}

/* ---- signals and flow ---- */

static int signal_of(const struct ldisc *l, uint8_t c)
{
    if (!has(l, ISIG))
        return 0;
    if (is_special(l, c, VINTR))
        return SIGINT;
    if (is_special(l, c, VQUIT))
        return SIGQUIT;
    return is_special(l, c, VSUSP) ? SIGTSTP : 0;
}

static void type_signal(struct ldisc *l, int signo, uint8_t c)
{
    l->signals |= 1u << (signo - 1);
    if (!has(l, NOFLSH)) {
        ldisc_flush_input(l);
        ldisc_flush_output(l);
        l->flushed_output = true;
    }
    if (l->termios.c_iflag & IXON)
        ldisc_start(l, false);
    if (has(l, ECHO))
        echo_char(l, c);
}

/* VSTART and VSTOP. */
static bool flow(struct ldisc *l, uint8_t c)
{
    if (!(l->termios.c_iflag & IXON))
        return false;
    if (is_special(l, c, VSTART)) {
        ldisc_start(l, false);
        return true;
    }
    if (is_special(l, c, VSTOP)) {
        ldisc_stop(l, false);
        return true;
    }
    return false;
}

static void type_one(struct ldisc *l, uint8_t c)
{
    uint32_t iflag = l->termios.c_iflag;
    int signo;

    if (iflag & ISTRIP)
        c &= 0x7f;
    if ((iflag & IUCLC) && has(l, IEXTEN) && c >= 'A' && c <= 'Z')
        c = (uint8_t)(c - 'A' + 'a');
    if (l->lnext) {
        l->lnext = false;
        store_typed(l, c);
        return;
    }
    if (flow(l, c))
        return;
    signo = signal_of(l, c);
    if (signo) {
        type_signal(l, signo, c);
        return;
    }
    if ((iflag & IXANY) && (iflag & IXON))
        ldisc_start(l, false);
    if (c == '\r') {
        if (iflag & IGNCR)
            return;
        if (iflag & ICRNL)
            c = '\n';
    } else if (c == '\n' && (iflag & INLCR)) {
        c = '\r';
    }
    if (has(l, ICANON) && edit(l, c))
        return;
    store_typed(l, c);
}

size_t ldisc_input_room(const struct ldisc *l)
{
    uint32_t used = l->head - l->tail;
    uint32_t each = l->termios.c_iflag & PARMRK ? 2 : 1;

    if (used < LDISC_INPUT_SIZE - 2)
        return (LDISC_INPUT_SIZE - 2 - used + each - 1) / each;
    /* A line without an end takes its end, whatever comes before it. */
    return has(l, ICANON) && l->canon_head == l->tail ? 1 : 0;
}

size_t ldisc_input(struct ldisc *l, const uint8_t *src, size_t size)
{
    size_t done = 0;

    while (done < size && ldisc_input_room(l))
        type_one(l, src[done++]);
    return done;
}
