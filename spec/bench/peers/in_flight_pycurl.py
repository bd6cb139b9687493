"""pycurl: GETs of one URL on one CurlMulti, K in flight: in_flight_pycurl.py URL COUNT K BYTES"""
import io
import sys

import pycurl

import lap

url, count, k, size = sys.argv[1], *map(int, sys.argv[2:5])
multi = pycurl.CurlMulti()
multi.setopt(pycurl.M_MAXCONNECTS, k)
handles = [pycurl.Curl() for _ in range(k)]


def start(easy):
    easy.headers, easy.body = [], io.BytesIO()
    easy.setopt(pycurl.URL, url)
    easy.setopt(pycurl.ACCEPT_ENCODING, "")
    easy.setopt(pycurl.NOSIGNAL, 1)
    easy.setopt(pycurl.HEADERFUNCTION, easy.headers.append)
    easy.setopt(pycurl.WRITEDATA, easy.body)
    multi.add_handle(easy)


def get_all(n):
    left, running = n, 0
    for easy in handles[:n]:
        start(easy)
        left, running = left - 1, running + 1
    while running:
        multi.perform()
        _, done, failed = multi.info_read()
        assert not failed, failed
        for easy in done:
            multi.remove_handle(easy)
            running -= 1
            assert easy.getinfo(pycurl.RESPONSE_CODE) == 200 and len(easy.body.getvalue()) == size
            if left:
                start(easy)
                left, running = left - 1, running + 1
        if running:
            multi.select(1.0)


get_all(k)
get_all(100)
begin = lap.begin()
get_all(count)
lap.finish(begin, count)
