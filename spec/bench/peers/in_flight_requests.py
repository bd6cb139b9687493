"""requests: GETs of one URL, K threads with a session each: in_flight_requests.py URL COUNT K BYTES"""
import sys

import requests

import threads

url, count, k, size = sys.argv[1], *map(int, sys.argv[2:5])


def make():
    session = requests.Session()

    def get():
        response = session.get(url)
        assert response.status_code == 200 and response.headers and len(response.content) == size

    return get


threads.run(count, k, make)
