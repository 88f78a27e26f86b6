"""What no implementation sends, at every state of an association; and the server lives."""

import socket
import struct
import time

from archive import Archive

APPLICATION_CONTEXT = b"1.2.840.10008.3.1.1.1"
VERIFICATION = b"1.2.840.10008.1.1"
CAPTURE = b"1.2.840.10008.5.1.4.1.1.7"
IMPLICIT = b"1.2.840.10008.1.2"
# How long a server may take to abort what it cannot understand.
PATIENCE_SECONDS = 30


def item(kind, body):
    return struct.pack(">BxH", kind, len(body)) + body


def pdu(kind, body):
    return struct.pack(">BxI", kind, len(body)) + body


def request(contexts=((1, VERIFICATION), (3, CAPTURE)), maximum=16384, more=b""):
    proposed = b"".join(
        item(0x20, bytes([number, 0, 0, 0]) + item(0x30, name) + item(0x40, IMPLICIT)) for number, name in contexts
    )
    user = item(0x50, item(0x51, struct.pack(">I", maximum)) + more)
    names = b"CAIRN".ljust(16) + b"MALFORMED".ljust(16) + bytes(32)
    return pdu(1, b"\0\1\0\0" + names + item(0x10, APPLICATION_CONTEXT) + proposed + user)


def element(number, value):
    return struct.pack("<HHI", 0, number, len(value)) + value


def command(kind, with_data, uid=b"1.2.3.4\0"):
    elements = element(0x0002, CAPTURE + b"\0" * (len(CAPTURE) % 2)) + element(0x0100, struct.pack("<H", kind))
    elements += element(0x0110, b"\1\0") + element(0x0700, b"\0\0")
    elements += element(0x0800, b"\0\0" if with_data else b"\1\1") + element(0x1000, uid)
    return element(0, struct.pack("<I", len(elements))) + elements


def values(*parts):
    """A P-DATA-TF of (context, control, bytes)."""
    return pdu(4, b"".join(struct.pack(">IBB", len(data) + 2, context, control) + data for context, control, data in parts))


STORE = values((3, 3, command(1, True)))
ACCEPTED = request()

# name: (bytes after which the server has to end the association)
CASES = {
    "nothing like a PDU": b"GET / HTTP/1.1\r\n\r\n" * 4,
    "PDU type 0": pdu(0, b"\0" * 4),
    "PDU type 255": pdu(255, b"\0" * 4),
    "data before an association": values((1, 3, command(0x30, False))),
    "release before an association": pdu(5, b"\0" * 4),
    "a request of 4 GB": struct.pack(">BxI", 1, 0xFFFFFFFF) + b"\0" * 64,
    "a request of 4 bytes": pdu(1, b"\0\1\0\0"),
    "items longer than the request": pdu(1, b"\0\1\0\0" + b" " * 32 + bytes(32) + struct.pack(">BxH", 0x10, 0xFFFF)),
    "a request that is cut off": request()[:-9],
    "context id 0": request(contexts=((0, VERIFICATION),)),
    "even context id": request(contexts=((2, VERIFICATION),)),
    "a context id twice": request(contexts=((1, VERIFICATION), (1, CAPTURE))),
    "a second request": ACCEPTED + request(),
    "an answer where none is due": ACCEPTED + pdu(2, request()[6:]),
    "data of 0 bytes": ACCEPTED + pdu(4, b"\0" * 5),
    "a value longer than its PDU": ACCEPTED + pdu(4, struct.pack(">IBB", 4000, 1, 3) + b"1234"),
    "a value of length 1": ACCEPTED + pdu(4, struct.pack(">IBB", 1, 1, 3)),
    "a value of length 2^32-1": ACCEPTED + pdu(4, struct.pack(">IBB", 0xFFFFFFFF, 1, 3)),
    "a PDU of 4 GB": ACCEPTED + struct.pack(">BxI", 4, 0xFFFFFFFF) + struct.pack(">IBB", 100, 1, 1) + b"\0" * 98,
    "an unknown context": ACCEPTED + values((99, 3, command(0x30, False))),
    "a data set without a command": ACCEPTED + values((3, 2, b"\x08\0\x18\0\x04\0\0\x001.2\0")),
    "a command in a data set": ACCEPTED + STORE + values((3, 3, command(1, True))),
    "another context in a data set": ACCEPTED + STORE + values((3, 0, b"12345678"), (1, 2, b"12345678")),
    "release in a data set": ACCEPTED + STORE + values((3, 0, b"12345678")) + pdu(5, b"\0" * 4),
    "a command element of 4 GB": ACCEPTED + values((1, 3, struct.pack("<HHI", 0, 0x100, 0xFFFFFFFF))),
    "a command that is cut off": ACCEPTED + values((1, 3, command(0x30, False)[:-3])),
    "a command without an end": ACCEPTED + values((1, 1, b"\0" * 16000)) * 4,
    "a command of data set elements": ACCEPTED + values((1, 3, struct.pack("<HHI", 8, 0x18, 0))),
}


def ended(stream):
    """Types of the PDUs that come until the server closes; None if it does not."""
    stream.settimeout(PATIENCE_SECONDS)
    received = b""
    try:
        while True:
            part = stream.recv(65536)
            if not part:
                break
            received += part
    except ConnectionError:
        pass
    except TimeoutError:
        return None
    kinds = []
    while len(received) >= 6:
        kind, length = struct.unpack(">BxI", received[:6])
        kinds.append(kind)
        received = received[6 + length :]
    return kinds


def echo(archive):
    with socket.create_connection(("127.0.0.1", archive.port)) as stream:
        stream.sendall(request() + values((1, 3, command(0x30, False))) + pdu(5, b"\0" * 4))
        return ended(stream)


def settle(section, archive, what):
    """No association is left open, and the next one works."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while archive.metric("cairn_dimse_associations") and time.monotonic() < deadline:
        time.sleep(0.1)
    section.same(archive.metric("cairn_dimse_associations"), 0, "times without open associations", what)
    section.same(echo(archive), [2, 4, 6], "echoes afterwards", what)


def cases(section, archive):
    for name, sent in CASES.items():
        with socket.create_connection(("127.0.0.1", archive.port)) as stream:
            stream.sendall(sent)
            if "cut off" in name and "command" not in name:
                stream.shutdown(socket.SHUT_WR)
            kinds = ended(stream)
        # What broke off by itself need not be told.
        good = kinds is not None and (kinds[-1:] in ([7], [3]) or "cut off" in name)
        section.hold(good, "ended with A-ABORT", f"{name}: {kinds}")
    settle(section, archive, "malformed")


def breaks(section, archive):
    """A reset after every seventh byte of a conversation that stores, and an A-ABORT after every PDU."""
    data = b"".join(
        struct.pack("<HHI", tag >> 16, tag & 0xFFFF, len(value)) + value
        for tag, value in [
            (0x00080016, CAPTURE + b"\0"), (0x00080018, b"1.2.3.4\0"), (0x0020000D, b"1.2.3\0"), (0x0020000E, b"1.2.3.5\0"),
        ]
    )
    # The data set in two fragments, of which the last one never comes whole.
    first, last = values((3, 0, data[:20])), values((3, 2, data[20:]))
    whole = ACCEPTED + STORE + first + last
    for place in range(0, len(whole), 7):
        with socket.create_connection(("127.0.0.1", archive.port)) as stream:
            stream.sendall(whole[:place])
            # Reset, not closed in order.
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        section.count("resets")
    for sent in (b"", ACCEPTED, ACCEPTED + STORE, ACCEPTED + STORE + first):
        with socket.create_connection(("127.0.0.1", archive.port)) as stream:
            stream.sendall(sent + pdu(7, b"\0" * 4))
            section.hold(ended(stream) in ([], [2]), "aborts", f"after {len(sent)} bytes")
    settle(section, archive, "breaks")
    stored = archive.metric('cairn_ingest_instances_total{outcome="new"}')
    section.same(stored, 0, "times nothing of it is visible", "breaks")


def sizes(section, archive):
    """The least and the most that may be proposed (behaviours 28, 29)."""
    for maximum in (0, 1, 7, 128, 0xFFFFFFFF):
        with socket.create_connection(("127.0.0.1", archive.port)) as stream:
            stream.sendall(request(maximum=maximum) + values((1, 3, command(0x30, False))) + pdu(5, b"\0" * 4))
            kinds = ended(stream)
        good = kinds is not None and kinds[0] == 2 and kinds[-1] in (6, 7)
        section.hold(good, "maximum lengths", f"{maximum}: {kinds}")
    contexts = [(2 * n + 1, b"1.2.840.10008.5.1.4.1.1.%d" % n) for n in range(128)]
    with socket.create_connection(("127.0.0.1", archive.port)) as stream:
        stream.sendall(request(contexts=contexts) + pdu(5, b"\0" * 4))
        section.same(ended(stream), [2, 6], "requests of 128 contexts", "")
    settle(section, archive, "sizes")


def run(tally, binary, corpus, scratch):
    del corpus
    with Archive(binary, scratch, peers="") as archive:
        for name, step in {"malformed": cases, "resets and aborts": breaks, "sizes": sizes}.items():
            with tally.section(f"raw: {name}") as section:
                step(section, archive)
