/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The line discipline by itself: its limits, and what it does with bytes that nobody would type. What each setting means
 * is tested by tests/syscall, where Linux judges.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tee/libos/fs/tty/ldisc.h"

#define OUT_SIZE 64u

static uint8_t g_bytes[OUT_SIZE];
static struct byte_ring g_out;
static struct ldisc *g_l; /* on the heap, so that the sanitizer sees its ends */

static int make(void **state)
{
    (void)state;
    g_l = malloc(sizeof *g_l);
    g_out = (struct byte_ring){ .bytes = g_bytes, .size = OUT_SIZE };
    ldisc_init(g_l, &g_out);
    return 0;
}

static int unmake(void **state)
{
    (void)state;
    free(g_l);
    return 0;
}

static size_t type(const char *text)
{
    return ldisc_input(g_l, (const uint8_t *)text, strlen(text));
}

static void check_out(const char *want)
{
    char text[OUT_SIZE + 1];
    uint32_t n = byte_ring_peek(&g_out, text, OUT_SIZE);

    text[n] = 0;
    assert_string_equal(text, want);
    g_out.tail += n;
}

static void set_lflag(uint32_t lflag)
{
    struct termios2 t = g_l->termios;

    t.c_lflag = lflag;
    ldisc_set_termios(g_l, &t);
}

static void lines_and_echo(void **state)
{
    uint8_t line[16];

    (void)state;
    assert_false(ldisc_is_readable(g_l, 1));
    assert_int_equal(type("ab\n"), 3);
    check_out("ab\r\n");
    assert_true(ldisc_is_readable(g_l, 1));
    assert_int_equal(ldisc_queued(g_l), 3);
    assert_int_equal(ldisc_read(g_l, line, sizeof line), 3);
    assert_memory_equal(line, "ab\n", 3);
    assert_true(ldisc_ended_line(g_l));
}

static void signals_are_kept_for_the_owner(void **state)
{
    (void)state;
    type("abc\003");
    assert_int_equal(g_l->signals, 1u << (SIGINT - 1));
    type("\034\032");
    assert_int_equal(g_l->signals, 1u << (SIGINT - 1) | 1u << (SIGQUIT - 1) | 1u << (SIGTSTP - 1));
    assert_true(g_l->flushed_output);
    assert_int_equal(ldisc_queued(g_l), 0);
    check_out("^Z"); /* each threw away what was there before it */
}

static void signals_without_flush(void **state)
{
    (void)state;
    set_lflag(g_l->termios.c_lflag | NOFLSH);
    type("abc\003\n");
    check_out("abc^C\r\n");
    assert_int_equal(ldisc_queued(g_l), 4);
}

static void echo_without_room_is_lost(void **state)
{
    (void)state;
    for (unsigned i = 0; i < OUT_SIZE; i++)
        assert_int_equal(type("x"), 1);
    assert_int_equal(type("yz\n"), 3);
    assert_int_equal(byte_ring_used(&g_out), OUT_SIZE);
    assert_int_equal(ldisc_queued(g_l), OUT_SIZE + 3);
    assert_false(ldisc_is_writable(g_l));
    assert_int_equal(ldisc_output(g_l, (const uint8_t *)"w", 1), 0);
}

static void echo_is_held_while_stopped(void **state)
{
    (void)state;
    type("\023");
    assert_false(ldisc_is_writable(g_l));
    for (unsigned i = 0; i < LDISC_HELD_SIZE + 10; i++)
        type("h");
    assert_int_equal(g_l->held_count, LDISC_HELD_SIZE);
    assert_int_equal(byte_ring_used(&g_out), 0);
    type("\021");
    assert_int_equal(byte_ring_used(&g_out), OUT_SIZE);
    assert_int_equal(g_l->held_count, 0);
}

static void input_is_bounded_raw(void **state)
{
    static uint8_t many[LDISC_INPUT_SIZE * 2], back[LDISC_INPUT_SIZE];
    size_t taken;

    (void)state;
    set_lflag(0);
    taken = ldisc_input(g_l, many, sizeof many);
    assert_in_range(taken, LDISC_INPUT_SIZE - 8, LDISC_INPUT_SIZE);
    assert_int_equal(ldisc_input_room(g_l), 0);
    assert_int_equal(ldisc_input(g_l, many, 1), 0);
    assert_int_equal(ldisc_read(g_l, back, 10), 10);
    assert_int_equal(ldisc_input(g_l, many, sizeof many), 10);
    assert_int_equal(ldisc_read(g_l, back, sizeof back), taken);
    assert_false(ldisc_is_readable(g_l, 1));
}

static void input_is_bounded_in_lines(void **state)
{
    static uint8_t many[LDISC_INPUT_SIZE * 2], back[LDISC_INPUT_SIZE * 2];

    (void)state;
    memset(many, 'm', sizeof many);
    set_lflag(ICANON);
    /* No end of a line: all is taken, the beginning is kept. */
    assert_int_equal(ldisc_input(g_l, many, sizeof many), sizeof many);
    assert_int_equal(ldisc_input_room(g_l), 1);
    assert_int_equal(type("\n"), 1);
    /* Now a line waits, and nothing more fits. */
    assert_int_equal(ldisc_input_room(g_l), 0);
    assert_int_equal(type("x"), 0);
    assert_int_equal(ldisc_read(g_l, back, sizeof back), LDISC_INPUT_SIZE);
    assert_int_equal(back[LDISC_INPUT_SIZE - 1], '\n');
    assert_int_equal(type("x\n"), 2);
    assert_int_equal(ldisc_read(g_l, back, sizeof back), 2);
}

static void tabs_near_the_end_of_room(void **state)
{
    struct termios2 t = g_l->termios;

    (void)state;
    t.c_oflag = OPOST | TABDLY;
    ldisc_set_termios(g_l, &t);
    /* Each takes eight places; none is written in part. */
    assert_int_equal(ldisc_output(g_l, (const uint8_t *)"\t\t\t\t\t\t\t\t\t\t", 10), OUT_SIZE / 8);
    assert_int_equal(byte_ring_used(&g_out), OUT_SIZE);
}

/* Any bytes under any settings: within bounds, and reads give no more than was typed. */
static void anything(void **state)
{
    uint64_t random = 88172645463325252ull;
    uint8_t bytes[97], back[61];

    (void)state;
    for (int round = 0; round < 20000; round++) {
        struct termios2 t = g_l->termios;
        size_t queued;

        for (size_t i = 0; i < sizeof bytes; i++) {
            random ^= random << 13, random ^= random >> 7, random ^= random << 17;
            bytes[i] = (uint8_t)(random >> 8);
            if (random & 1)
                bytes[i] &= 0x1f; /* special characters, often */
        }
        if (round % 16 == 0) {
            t.c_iflag = (uint32_t)random, t.c_oflag = (uint32_t)(random >> 16);
            t.c_lflag = (uint32_t)(random >> 32);
            ldisc_set_termios(g_l, &t);
        }
        ldisc_input(g_l, bytes, sizeof bytes);
        assert_in_range(g_l->head - g_l->tail, 0, LDISC_INPUT_SIZE);
        assert_in_range(g_l->canon_head - g_l->tail, 0, g_l->head - g_l->tail);
        ldisc_output(g_l, bytes, sizeof bytes);
        assert_in_range(byte_ring_used(&g_out), 0, OUT_SIZE);
        queued = ldisc_queued(g_l);
        if (ldisc_is_readable(g_l, 1))
            assert_in_range(ldisc_read(g_l, back, sizeof back), 0, queued);
        g_out.tail += byte_ring_peek(&g_out, bytes, (uint32_t)(random & 63));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lines_and_echo, make, unmake),
        cmocka_unit_test_setup_teardown(signals_are_kept_for_the_owner, make, unmake),
        cmocka_unit_test_setup_teardown(signals_without_flush, make, unmake),
        cmocka_unit_test_setup_teardown(echo_without_room_is_lost, make, unmake),
        cmocka_unit_test_setup_teardown(echo_is_held_while_stopped, make, unmake),
        cmocka_unit_test_setup_teardown(input_is_bounded_raw, make, unmake),
        cmocka_unit_test_setup_teardown(input_is_bounded_in_lines, make, unmake),
        cmocka_unit_test_setup_teardown(tabs_near_the_end_of_room, make, unmake),
        cmocka_unit_test_setup_teardown(anything, make, unmake),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
