/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The line discipline of terminals (termios(3)): what typed bytes become for readers, what is echoed, what written
 * bytes become for the far end. Pure: no locks, no sleep, no memory of its own, so it is tested hosted. Trusted; input
 * bytes may be hostile (the far end of the console is the host).
 */
#pragma once

#include <asm/termbits.h>

#include "lib/defs.h"

#define LDISC_INPUT_SIZE 4096u /* a line with its newline fits */
#define LDISC_HELD_SIZE 1024u  /* echo while output is stopped */

/* Bytes on their way to the far end. size is a power of two. */
struct byte_ring {
    uint8_t *bytes;
    uint32_t size, head, tail; /* head, tail: free-running */
};
static inline uint32_t byte_ring_used(const struct byte_ring *r)
{
    return r->head - r->tail;
}
static inline uint32_t byte_ring_free(const struct byte_ring *r)
{
    return r->size - byte_ring_used(r);
}
/* Copies at most size bytes from the front without taking them; returns how many. */
uint32_t byte_ring_peek(const struct byte_ring *r, void *dst, uint32_t size);

struct ldisc {
    struct termios2 termios;
    struct byte_ring *out;
    uint32_t head, tail; /* of input; free-running */
    uint32_t canon_head; /* up to here whole lines; equals tail outside canonical mode */
    uint32_t column, canon_column;
    uint32_t signals;     /* bit n-1: the program typed signal n; the owner takes them */
    bool erasing, lnext;  /* within \...../ of ECHOPRT; after VLNEXT */
    bool stopped;         /* output: VSTOP, or tcflow by the program */
    bool stopped_by_call; /* TCOOFF: VSTART and IXANY do not restart it */
    bool flushed_output;  /* by a signal character, for packet mode; the owner clears it */
    uint32_t held_count;
    uint8_t held[LDISC_HELD_SIZE];
    uint8_t marks[LDISC_INPUT_SIZE / 8]; /* bit: this byte of input ends a line */
    uint8_t input[LDISC_INPUT_SIZE];
};

/* Like a fresh terminal of Linux; out outlives l. */
void ldisc_init(struct ldisc *l, struct byte_ring *out);
/* Types `size` bytes. returns: how many were taken; the rest waits until something is read. */
size_t ldisc_input(struct ldisc *l, const uint8_t *src, size_t size);
/* How many bytes ldisc_input() takes for certain; 0: something must be read first. */
size_t ldisc_input_room(const struct ldisc *l);
/* Something that a read would return: a line, or `minimum` bytes outside canonical mode. */
bool ldisc_is_readable(const struct ldisc *l, size_t minimum);
/* Takes at most size bytes: one line (or a part of it) in canonical mode. 0 from a readable discipline: end of file. */
size_t ldisc_read(struct ldisc *l, uint8_t *dst, size_t size);
/* The byte that was taken last ended a line. */
bool ldisc_ended_line(const struct ldisc *l);
/* Bytes that wait for readers (FIONREAD). */
size_t ldisc_queued(const struct ldisc *l);
/* Output of the program; returns how many bytes were taken (0: no room, or stopped). */
size_t ldisc_output(struct ldisc *l, const uint8_t *src, size_t size);
/* Room for at least one byte of output, whatever it becomes. */
bool ldisc_is_writable(const struct ldisc *l);
/* c_cflag, c_line and what cannot be served are corrected. */
void ldisc_set_termios(struct ldisc *l, const struct termios2 *t);
/* What a fresh pseudo-terminal has. */
extern const struct termios2 ldisc_fresh_termios;
void ldisc_flush_input(struct ldisc *l);
void ldisc_flush_output(struct ldisc *l);
/* Stops and starts output. by_call: tcflow. */
void ldisc_stop(struct ldisc *l, bool by_call);
void ldisc_start(struct ldisc *l, bool by_call);
/* One byte to the far end, ahead of rules and stops (tcflow's TCIOFF, TCION). */
void ldisc_put_raw(struct ldisc *l, uint8_t c);
