#!/usr/bin/env python3
"""ranks_cable.py DELAY_US NAMESPACE... - cables between network namespaces, in user space, for kernels without netem:
a packet that one sends to 10.77.0.(i + 1) comes out in namespace i, DELAY_US later. Each has a device eth0 (tun).
Costs some tens of microseconds a packet beside the delay."""
import ctypes, fcntl, heapq, os, select, struct, sys, time

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000


def open_tun(namespace):
    fd = os.open("/run/netns/" + namespace, os.O_RDONLY)
    if ctypes.CDLL(None, use_errno=True).setns(fd, 0) != 0:
        sys.exit("no namespace " + namespace)
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH", b"eth0", IFF_TUN | IFF_NO_PI))
    return tun


def main():
    delay, tuns = float(sys.argv[1]) * 1e-6, [open_tun(name) for name in sys.argv[2:]]
    under_way, n = [], 0
    while True:
        left = max(0.0, under_way[0][0] - time.monotonic()) if under_way else None
        if left is not None and left < 2e-4:
            left = 0  # a sleep is longer than that
        for tun in select.select(tuns, [], [], left)[0]:
            packet = os.read(tun, 65536)
            to = packet[19] - 1 if packet[0] >> 4 == 4 else -1
            if 0 <= to < len(tuns):
                heapq.heappush(under_way, (time.monotonic() + delay, n, to, packet))
                n += 1
        while under_way and under_way[0][0] <= time.monotonic():
            _, _, to, packet = heapq.heappop(under_way)
            os.write(tuns[to], packet)


main()
