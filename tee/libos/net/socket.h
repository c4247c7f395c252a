/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets: what the system calls need of a family. A socket is a struct file whose private_data is a struct socket,
 * the first member of the family's own structure. Trusted.
 *
 * Addresses are struct sockaddr bytes as the program gave them; every family checks them. Operations sleep unless
 * their flags hold MSG_DONTWAIT (the system calls add it for O_NONBLOCK).
 */
#pragma once

#include <linux/socket.h>

#include "tee/libos/fs/vfs/vfs.h"

#define SOCK_STREAM 1
#define SOCK_DGRAM 2
#define SOCK_RAW 3
#define SOCK_SEQPACKET 5
#define SOCK_TYPE_MASK 0xf

#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define AF_NETLINK 16

#define MSG_OOB 0x1
#define MSG_PEEK 0x2
#define MSG_DONTROUTE 0x4
#define MSG_CTRUNC 0x8
#define MSG_TRUNC 0x20
#define MSG_DONTWAIT 0x40
#define MSG_EOR 0x80
#define MSG_WAITALL 0x100
#define MSG_CONFIRM 0x800
#define MSG_ERRQUEUE 0x2000
#define MSG_NOSIGNAL 0x4000
#define MSG_MORE 0x8000
#define MSG_WAITFORONE 0x10000
#define MSG_FASTOPEN 0x20000000
#define MSG_CMSG_CLOEXEC 0x40000000

#define SHUT_RD 0
#define SHUT_WR 1
#define SHUT_RDWR 2
#define SOCK_SHUT_READ 1u /* socket->shut */
#define SOCK_SHUT_WRITE 2u

#define SOL_SOCKET_LEVEL 1
#define SCM_RIGHTS 1
#define SCM_CREDENTIALS 2
#define SCM_FILES_MAX 253u /* as Linux */

#define SOCK_ADDR_MAX 128u
#define SOCK_BACKLOG_MAX 4096u
#define SOCK_BUFFER_DEFAULT 212992u
#define SOCK_BUFFER_MAX (4u * 1024 * 1024)

struct sock_addr {
    uint32_t size; /* bytes that count; 0: none */
    union {
        uint16_t family;
        uint8_t bytes[SOCK_ADDR_MAX];
    };
};

struct sock_cred { /* struct ucred */
    int32_t pid;
    uint32_t uid, gid;
};

/* What goes with bytes: descriptors and credentials. */
struct sock_control {
    struct file **files; /* counted, owned; file_count of them */
    unsigned file_count;
    bool has_cred;
    bool in_flight; /* the files are in a queue: unix_flight.c */
    struct sock_cred cred;
    bool has_hop_limit, has_traffic_class, has_destination; /* of a packet inside the enclave */
    int32_t hop_limit, traffic_class;
    uint8_t destination[16]; /* as in struct inet_addr */
};
void sock_control_done(struct sock_control *c);
/* Room for the files of any other, so that a copy cannot fail. returns: 0; -ENOMEM. */
MUST_CHECK int sock_control_reserve(struct sock_control *c);
/* For MSG_PEEK: references of its own; `to` is empty and reserved. */
void sock_control_copy(struct sock_control *to, const struct sock_control *from);

/* One message, in either direction. */
struct sock_msg {
    struct uio *u;
    int flags;                    /* MSG_* of the call */
    struct sock_addr *addr;       /* send: where to, or size 0; receive: filled; may be NULL */
    struct sock_control *control; /* send: taken over by the family; receive: filled; may be NULL */
    int ret_flags;                /* receive: MSG_TRUNC, MSG_EOR... */
    uint32_t ttl, tos;            /* reserved */
};

struct socket;
struct sock_ops {
    int (*bind)(struct socket *s, const struct sock_addr *addr);
    int (*connect)(struct socket *s, const struct sock_addr *addr, bool nonblock);
    int (*listen)(struct socket *s, int backlog);
    /* A new socket without a file. *ret_addr: the peer's address. */
    int (*accept)(struct socket *s, bool nonblock, struct socket **ret, struct sock_addr *ret_addr);
    int (*pair)(struct socket *a, struct socket *b);
    int64_t (*send)(struct socket *s, struct sock_msg *m);
    int64_t (*receive)(struct socket *s, struct sock_msg *m);
    /* write_image of vfs.h; optional. */
    int64_t (*send_image)(struct socket *s, uint64_t at, size_t size, bool nonblock);
    int (*shutdown)(struct socket *s, uint32_t shut);
    uint32_t (*poll)(struct socket *s, struct poll_table *pt);
    int (*name)(struct socket *s, bool peer, struct sock_addr *ret);
    /* Options beyond those of sock_option.c. value: enclave memory. -ENOPROTOOPT: unknown. */
    int (*set_option)(struct socket *s, int level, int name, const void *value, uint32_t size);
    int (*get_option)(struct socket *s, int level, int name, void *value, uint32_t *size);
    /* Bytes that a read would give now (FIONREAD) or that are not sent yet. */
    int (*queued)(struct socket *s, bool output, uint32_t *ret);
    void (*release)(struct socket *s); /* frees s */
};

struct socket {
    const struct sock_ops *ops;
    int family, type, protocol;
    struct file *file; /* not counted; NULL until it has one */
    struct mutex lock; /* state of the family */
    struct waitq wait; /* announces everything but what streams announce themselves */
    int32_t error;     /* SO_ERROR: negative errno, taken by the next call; atomic */
    uint32_t shut;     /* SOCK_SHUT_*; atomic */
    bool is_listening;
    /* Options that are kept inside for every family. */
    uint64_t receive_timeout_ns, send_timeout_ns; /* 0: forever */
    uint32_t send_size, receive_size;             /* SO_SNDBUF, SO_RCVBUF */
    uint32_t flags;                               /* SOCK_FLAG_* */
    int32_t linger_s;                             /* valid with SOCK_FLAG_LINGER */
    int32_t priority, mark, receive_low, busy_poll;
    struct socket *list_prev,
        *list_next; /* of those with a file; under the lock of socket_file.c */
    uint32_t uid;   /* of who made it */
    uint64_t ino;
    char name[32]; /* "socket:[ino]" */
};
#define SOCK_FLAG_PASSCRED 0x1u
#define SOCK_FLAG_LINGER 0x2u
#define SOCK_FLAG_REUSEADDR 0x4u
#define SOCK_FLAG_REUSEPORT 0x8u
#define SOCK_FLAG_KEEPALIVE 0x10u
#define SOCK_FLAG_BROADCAST 0x20u
#define SOCK_FLAG_DONTROUTE 0x40u
#define SOCK_FLAG_OOBINLINE 0x80u
#define SOCK_FLAG_TIMESTAMP 0x100u
#define SOCK_FLAG_TIMESTAMPNS 0x200u
#define SOCK_FLAGS_TIMESTAMP (SOCK_FLAG_TIMESTAMP | SOCK_FLAG_TIMESTAMPNS)
#define SOCK_FLAG_NO_CHECK 0x400u
#define SOCK_FLAG_RXQ_OVFL 0x800u
#define SOCK_FLAG_WIFI 0x1000u
#define SOCK_FLAG_ERR_QUEUE 0x2000u
#define SOCK_FLAG_LOCK_FILTER 0x4000u

/* ---- socket_file.c ---- */

/* Families call this for a new structure. */
void sock_init(struct socket *s, const struct sock_ops *ops, int family, int type, int protocol);
/* Gives s a file; takes s over, also on failure. */
MUST_CHECK int sock_file_new(struct socket *s, uint32_t flags, struct file **ret);
/* Calls fn for every socket that has a file, with the list locked: fn neither makes nor ends sockets. */
void sock_each(void (*fn)(struct socket *s, void *arg), void *arg);
/* The socket of f; NULL: f is none. */
struct socket *sock_of(const struct file *f);
/* Inode number that /proc/self/fd and fstat show. */
uint64_t sock_ino(const struct file *f);
/* Deadline for a call that began now; timeout_ns 0: forever. */
uint64_t sock_deadline(uint64_t timeout_ns);
/* -ETIMEDOUT of a wait with SO_RCVTIMEO or SO_SNDTIMEO is -EAGAIN; a signal then is -EINTR. */
int sock_wait_error(int rc, uint64_t timeout_ns);
/* The pending error (negative), cleared; 0: none. */
int sock_take_error(struct socket *s);
struct sock_cred sock_my_cred(void);

/* ---- sock_option.c ---- */

int sock_option_set(struct socket *s, int level, int name, const void *value, uint32_t size);
int sock_option_get(struct socket *s, int level, int name, void *value, uint32_t *size);

/* ---- families ---- */

MUST_CHECK int unix_new(int type, int protocol, struct socket **ret);
MUST_CHECK int inet_new(int family, int type, int protocol, struct socket **ret);
MUST_CHECK int netlink_new(int type, int protocol, struct socket **ret);
