"""Clients that did one request each, KiB of the process: memory.py CLIENT URL CLIENTS"""
import gc
import os
import sys

import clients
import lap

name, url, count = sys.argv[1], sys.argv[2], int(sys.argv[3])


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE") / 1024


def make():
    client = clients.BY_NAME[name]()
    client.get(url)
    return client


kept = [make()]
gc.collect()
before, begin = resident(), lap.begin()
for _ in range(count):
    kept.append(make())
gc.collect()
print(f"kib={(resident() - before) / count:.3f}", end=" ")
lap.finish(begin, count)
