/* SPDX-License-Identifier: Apache-2.0 */
/* What ldisc.c and ldisc_input.c share. Trusted. */
#pragma once

#include "tee/libos/fs/tty/ldisc.h"

/* To the far end: as it is, or as OPOST says. Lost when there is no room. */
void ldisc_put(struct ldisc *l, uint8_t c);
void ldisc_put_cooked(struct ldisc *l, uint8_t c);

static inline bool ldisc_is_control(uint8_t c)
{
    return c < 32 || c == 127;
}
/* Second and later bytes of a UTF-8 character. */
static inline bool ldisc_is_continuation(const struct ldisc *l, uint8_t c)
{
    return (l->termios.c_iflag & IUTF8) && (c & 0xc0) == 0x80;
}
