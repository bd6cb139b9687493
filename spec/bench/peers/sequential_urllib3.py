"""urllib3: sequential GETs on one pool: sequential_urllib3.py URL COUNT BYTES"""
import sys

import urllib3

import lap

url, count, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
pool = urllib3.PoolManager(maxsize=1)


def get():
    response = pool.request("GET", url)
    assert response.status == 200 and response.headers and len(response.data) == size


lap.loop(count, get)
