#!/usr/bin/env python3
"""ranks_cable.py DELAY_US[,LAST_US] NAMESPACE... - cables between network namespaces, in user space, for kernels without
netem: a packet that one sends to 10.77.0.(i + 1) comes out in namespace i, DELAY_US later; LAST_US where the last
namespace sends or receives it. Each has a device eth0 (tun). From SIGUSR1 on the last one's cable is cut: what it sends
or should receive is lost. Costs some tens of microseconds a packet beside the delay."""
import ctypes, fcntl, heapq, os, select, signal, struct, sys, time

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
is_cut = False


def cut(*_):
    global is_cut
    is_cut = True


def open_tun(namespace):
    fd = os.open("/run/netns/" + namespace, os.O_RDONLY)
    if ctypes.CDLL(None, use_errno=True).setns(fd, 0) != 0:
        sys.exit("no namespace " + namespace)
    tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack("16sH", b"eth0", IFF_TUN | IFF_NO_PI))
    return tun


def main():
    signal.signal(signal.SIGUSR1, cut)
    delays = [float(text) * 1e-6 for text in sys.argv[1].split(",")]
    tuns = [open_tun(name) for name in sys.argv[2:]]
    under_way, n, last = [], 0, len(tuns) - 1
    while True:
        left = max(0.0, under_way[0][0] - time.monotonic()) if under_way else None
        if left is not None and left < 2e-4:
            left = 0  # a sleep is longer than that
        for tun in select.select(tuns, [], [], left)[0]:
            packet = os.read(tun, 65536)
            to = packet[19] - 1 if packet[0] >> 4 == 4 else -1
            is_last = to == last or tun == tuns[last]
            if 0 <= to < len(tuns) and not (is_cut and is_last):
                heapq.heappush(under_way, (time.monotonic() + delays[-1 if is_last else 0], n, to, packet))
                n += 1
        while under_way and under_way[0][0] <= time.monotonic():
            _, _, to, packet = heapq.heappop(under_way)
            if not (is_cut and to == last):
                os.write(tuns[to], packet)


main()
