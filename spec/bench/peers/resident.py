"""Resident KiB for each of many clients."""
import gc
import os
import sys

import lap


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE") / 1024


def run(make):
    """make(url) gives a client that has done one request; arguments URL CLIENTS."""
    url, count = sys.argv[1], int(sys.argv[2])
    clients = [make(url)]
    gc.collect()
    before, begin = resident(), lap.begin()
    for _ in range(count):
        clients.append(make(url))
    gc.collect()
    print(f"kib={(resident() - before) / count:.3f}", end=" ")
    lap.finish(begin, count)
