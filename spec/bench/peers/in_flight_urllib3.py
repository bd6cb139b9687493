"""urllib3: GETs of one URL, K threads on one pool: in_flight_urllib3.py URL COUNT K BYTES"""
import sys

import urllib3

import threads

url, count, k, size = sys.argv[1], *map(int, sys.argv[2:5])
pool = urllib3.PoolManager(maxsize=k, block=True)


def get():
    response = pool.request("GET", url)
    assert response.status == 200 and response.headers and len(response.data) == size


threads.run(count, k, lambda: get)
