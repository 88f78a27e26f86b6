#!/usr/bin/env python3
"""line.py CONTROL NAMESPACE=ADDRESS...: lines between network namespaces, where the kernel has no netem.

Each namespace gets a device `line0` with its address. What leaves it goes through its own line up and
the receiver's line down; each line has a rate, a delay, a queue that drops what does not fit, and loses
packets at random. CONTROL is a fifo that takes commands, one a line:

    rate NAMESPACE MBIT      delay NAMESPACE MS (each way)      loss NAMESPACE PERCENT
    down NAMESPACE           up NAMESPACE
"""
import ctypes
import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import sys
import time

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
CLONE_NEWNET = 0x40000000
QUEUE_SECONDS = 0.2
libc = ctypes.CDLL(None, use_errno=True)


HOME = open("/proc/self/ns/net")


def enter(namespace):
    if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Line:
    """One direction: when does a packet that comes now leave?"""

    def __init__(self, site):
        self.site, self.free = site, 0.0

    def leaves(self, now, length):
        site = self.site
        if site.is_down or random.random() < site.loss or self.free - now > QUEUE_SECONDS:
            return None
        self.free = max(self.free, now) + length * 8 / site.rate
        return self.free + site.delay


class Site:
    def __init__(self, namespace, address):
        self.rate, self.delay, self.loss, self.is_down = 1e8, 0.0, 0.0, False
        self.up, self.down = Line(self), Line(self)
        with open(f"/var/run/netns/{namespace}") as other:
            enter(other)
        self.fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(self.fd, TUNSETIFF, struct.pack("16sH", b"line0", IFF_TUN | IFF_NO_PI))
        enter(HOME)
        run = ["ip", "netns", "exec", namespace, "ip"]
        subprocess.run(run + ["address", "add", f"{address}/24", "dev", "line0"], check=True)
        subprocess.run(run + ["link", "set", "line0", "up", "txqueuelen", "5000"], check=True)


def main():
    control = os.open(sys.argv[1], os.O_RDWR | os.O_NONBLOCK)
    sites, by_address = {}, {}
    for word in sys.argv[2:]:
        namespace, address = word.split("=")
        sites[namespace] = Site(namespace, address)
        by_address[bytes(map(int, address.split(".")))] = sites[namespace]
    by_fd = {site.fd: site for site in sites.values()}
    print("up", flush=True)
    due, count = [], 0
    while True:
        now = time.monotonic()
        while due and due[0][0] <= now:
            _, _, packet, to, line = heapq.heappop(due)
            if line is None:
                try:
                    os.write(to.fd, packet)
                except OSError:
                    pass  # the device is full or gone
                continue
            leaves = to.down.leaves(now, len(packet))
            if leaves is not None:
                count += 1
                heapq.heappush(due, (leaves, count, packet, to, None))
        wait = max(0.0, due[0][0] - time.monotonic()) if due else 1.0
        for fd in select.select([control, *by_fd], [], [], wait)[0]:
            if fd == control:
                for command in os.read(control, 4096).decode().splitlines():
                    obey(command.split(), sites)
                continue
            site, now = by_fd[fd], time.monotonic()
            for _ in range(64):
                try:
                    packet = os.read(fd, 65536)
                except OSError:
                    break
                to = by_address.get(packet[16:20])
                leaves = site.up.leaves(now, len(packet)) if to else None
                if leaves is not None:
                    count += 1
                    heapq.heappush(due, (leaves, count, packet, to, to.down))


def obey(words, sites):
    site = sites[words[1]]
    match words[0]:
        case "rate":
            site.rate = float(words[2]) * 1e6
        case "delay":
            site.delay = float(words[2]) / 1e3
        case "loss":
            site.loss = float(words[2]) / 100
        case "down":
            site.is_down = True
        case "up":
            site.is_down = False


main()
