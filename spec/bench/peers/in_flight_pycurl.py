"""pycurl: GETs of one URL on one CurlMulti, K in flight: in_flight_pycurl.py URL COUNT K BYTES"""
import sys

import pycurl

import clients
import lap

url, count, k, size = sys.argv[1], *map(int, sys.argv[2:5])
multi = pycurl.CurlMulti()
multi.setopt(pycurl.M_MAXCONNECTS, k)
handles = [clients.PyCurl() for _ in range(k)]
owner = {handle.easy: handle for handle in handles}


def get_all(n):
    left, running = n, 0
    for handle in handles[:n]:
        multi.add_handle(handle.start(url))
        left, running = left - 1, running + 1
    while running:
        multi.perform()
        _, done, failed = multi.info_read()
        assert not failed, failed
        for easy in done:
            multi.remove_handle(easy)
            running -= 1
            assert len(owner[easy].body()) == size
            if left:
                multi.add_handle(owner[easy].start(url))
                left, running = left - 1, running + 1
        if running:
            multi.select(1.0)


get_all(k)
get_all(100)
begin = lap.begin()
get_all(count)
lap.finish(begin, count)
