"""requests: sequential GETs on one session: sequential_requests.py URL COUNT BYTES"""
import sys

import requests

import lap

url, count, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
session = requests.Session()


def get():
    response = session.get(url)
    assert response.status_code == 200 and response.headers and len(response.content) == size


lap.loop(count, get)
