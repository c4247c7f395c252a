# SPDX-License-Identifier: Apache-2.0
"""A stand-in for AESM with a quoting enclave: answers on a socket, keeps what it was asked, and lies when it is told to.

Messages are protobuf (host/quote/aesm.proto), each with its size in front; read and written here by hand."""
import os
import socket
import struct
import threading

INIT, SIZE, QUOTE, KEY_COUNT, KEYS, COLLATERAL = 15, 16, 17, 21, 22, 1000
BUSY = 18
MRENCLAVE = bytes(range(100, 132))
QUOTE_SIZE = 2000


def varint(value):
    out = b''
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def parse(data):
    """{field number: number or bytes}."""
    found, at = {}, 0

    def number():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        key = number()
        if key & 7 == 0:
            found[key >> 3] = number()
        else:
            assert key & 7 == 2
            size = number()
            found[key >> 3] = data[at:at + size]
            at += size
    return found


class FakeAesm:
    """lie: a name of one below, or ''. collateral: bytes, or None."""

    def __init__(self, path, lie='', collateral=None):
        self.path, self.lie, self.collateral = path, lie, collateral
        self.asked, self.reports = [], []
        self.target = MRENCLAVE + struct.pack('<QQ', 5, 3) + bytes(464)
        if lie == 'reserved target':
            self.target = self.target[:-1] + b'\1'
        self.key_id = bytes(154) + struct.pack('<I', 2) + bytes(98)
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(path)
        self.socket.listen(16)
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.socket.close()
        os.unlink(self.path)

    def serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection, connection.makefile('rb') as stream:
                head = stream.read(4)
                if len(head) < 4:
                    continue  # somebody only looked whether we are there
                answer = self.answer(parse(stream.read(*struct.unpack('<I', head))))
                if answer is not None:
                    connection.sendall(struct.pack('<I', len(answer)) + answer)

    def answer(self, request):
        (kind, body), = request.items()
        body = parse(body)
        self.asked.append(kind)
        if self.lie == 'closes' and kind == QUOTE:
            return None
        if self.lie == 'busy':
            return field(kind, field(1, BUSY))
        rest = {KEY_COUNT: lambda: field(2, 1), KEYS: lambda: field(2, self.key_id),
                INIT: lambda: field(2, self.target) + field(3, 32), SIZE: lambda: field(2, self.size()),
                QUOTE: lambda: field(2, self.quote(body[1])), COLLATERAL: lambda: field(2, self.collateral)}
        if kind == COLLATERAL and self.collateral is None:
            return field(20, field(1, 1))
        return field(kind, field(1, 0) + rest[kind]())

    def size(self):
        return 16384 + 1 if self.lie == 'too large' else QUOTE_SIZE

    def quote(self, report):
        """Form of a quote of version 3 over the report's body."""
        self.reports.append(report)
        body = report[:384]
        if self.lie == 'old report':
            body = self.reports[0][:384]
        elif self.lie == 'other enclave':
            body = body[:64] + bytes(32) + body[96:]
        quote = struct.pack('<HH', 9 if self.lie == 'version' else 3, 2) + bytes(44) + body
        quote += struct.pack('<I', len(self.reports))
        return quote[:400] if self.lie == 'short' else quote.ljust(QUOTE_SIZE, b'\x5a')
