/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settings of a terminal as programs pass them: struct termios, termios2 and the old termio. Trusted.
 */
#include <asm/errno.h>
#include <asm/ioctls.h>

#include "tee/enclave/string.h"
#include "tee/libos/fs/tty/tty_private.h"

/* Speeds by the number in CBAUD: 0 to 15, then from BOTHER on. */
static const uint32_t g_speeds[] = { 0,   50,   75,   110,  134,  150,  200,   300,
                                     600, 1200, 1800, 2400, 4800, 9600, 19200, 38400 };
static const uint32_t g_speeds_high[] = { 0,       57600,   115200,  230400,  460800,  500000,
                                          576000,  921600,  1000000, 1152000, 1500000, 2000000,
                                          2500000, 3000000, 3500000, 4000000 };

/* The settings with speeds that follow c_cflag, unless it says BOTHER. */
static void set_speeds(struct termios2 *t)
{
    uint32_t code = t->c_cflag & CBAUD;
    const uint32_t *table = code & CBAUDEX ? g_speeds_high : g_speeds;
    uint32_t in_code = t->c_cflag >> IBSHIFT & CBAUD;
    const uint32_t *in_table = in_code & CBAUDEX ? g_speeds_high : g_speeds;

    if (code != BOTHER)
        t->c_ospeed = table[code & 15];
    if (in_code == 0)
        t->c_ispeed = t->c_ospeed;
    else if (in_code != BOTHER)
        t->c_ispeed = in_table[in_code & 15];
}

struct old_termio {
    uint16_t iflag, oflag, cflag, lflag;
    uint8_t line, cc[8];
};

static int read_old(struct termios2 *t, uintptr_t arg)
{
    struct old_termio old;
    int rc = USER_GET(&old, arg);

    if (rc < 0)
        return rc;
    t->c_iflag = (t->c_iflag & 0xffff0000) | old.iflag;
    t->c_oflag = (t->c_oflag & 0xffff0000) | old.oflag;
    t->c_cflag = (t->c_cflag & 0xffff0000) | old.cflag;
    t->c_lflag = (t->c_lflag & 0xffff0000) | old.lflag;
    memcpy(t->c_cc, old.cc, sizeof old.cc);
    return 0;
}

static int64_t get(struct tty *t, uint32_t request, uintptr_t arg)
{
    struct termios2 now;
    struct termios plain;
    struct old_termio old;

    tty_lock(t);
    now = t->ld.termios;
    tty_unlock(t, 0);
    if (request == TCGETS2)
        return USER_PUT(arg, &now);
    if (request == TCGETS) {
        memcpy(&plain, &now, sizeof plain); /* the same up to the speeds */
        return USER_PUT(arg, &plain);
    }
    memset(&old, 0, sizeof old);
    old.iflag = (uint16_t)now.c_iflag;
    old.oflag = (uint16_t)now.c_oflag;
    old.cflag = (uint16_t)now.c_cflag;
    old.lflag = (uint16_t)now.c_lflag;
    old.line = now.c_line;
    memcpy(old.cc, now.c_cc, sizeof old.cc);
    return USER_PUT(arg, &old);
}

/* Does the far end's flow control follow the usual characters? Packet mode tells when that changes. */
static bool has_usual_flow(const struct termios2 *t)
{
    return (t->c_iflag & IXON) && t->c_cc[VSTOP] == 19 && t->c_cc[VSTART] == 17;
}

static int64_t set(struct tty *t, const struct termios2 *want, bool flush)
{
    bool had = has_usual_flow(&t->ld.termios), has = has_usual_flow(want);

    tty_lock(t);
    if (flush)
        ldisc_flush_input(&t->ld);
    ldisc_set_termios(&t->ld, want);
    if (t->packet && had != has) {
        t->packet_status &= (uint8_t) ~(TIOCPKT_DOSTOP | TIOCPKT_NOSTOP);
        t->packet_status |= has ? TIOCPKT_DOSTOP : TIOCPKT_NOSTOP;
    }
    tty_unlock(t, TTY_DID_ALL);
    return 0;
}

int64_t tty_termios_ioctl(struct tty *t, uint32_t request, uintptr_t arg)
{
    struct termios2 want = t->ld.termios;
    bool flush = request == TCSETSF || request == TCSETSF2 || request == TCSETAF;
    int rc;

    switch (request) {
    case TCGETS:
    case TCGETS2:
    case TCGETA:
        return get(t, request, arg);
    case TCSETS:
    case TCSETSW:
    case TCSETSF:
        rc = user_copy_in(&want, arg, sizeof(struct termios));
        break;
    case TCSETS2:
    case TCSETSW2:
    case TCSETSF2:
        rc = USER_GET(&want, arg);
        break;
    case TCSETA:
    case TCSETAW:
    case TCSETAF:
        rc = read_old(&want, arg);
        break;
    case TIOCGSOFTCAR:
        rc = (want.c_cflag & CLOCAL) != 0;
        return USER_PUT(arg, &rc);
    default:
        return -ENOTTY;
    }
    if (rc < 0)
        return rc;
    set_speeds(&want);
    return set(t, &want, flush);
}
