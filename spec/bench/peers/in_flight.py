"""GETs of one URL by K threads, urllib3's on one pool, requests' with a session each:
in_flight.py CLIENT URL COUNT K BYTES"""
import sys
import threading

import clients
import lap

name, url = sys.argv[1:3]
count, k, size = map(int, sys.argv[3:6])
shared = clients.Urllib3(k) if name == "urllib3" else None
getters = [shared or clients.BY_NAME[name]() for _ in range(k)]


def get_all(n):
    left, lock, failed = [n], threading.Lock(), []

    def worker(client):
        while True:
            with lock:
                if left[0] <= 0 or failed:
                    return
                left[0] -= 1
            try:
                assert len(client.get(url)) == size
            except BaseException as problem:
                failed.append(problem)

    threads = [threading.Thread(target=worker, args=(client,)) for client in getters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


get_all(k)
get_all(100)
begin = lap.begin()
get_all(count)
lap.finish(begin, count)
