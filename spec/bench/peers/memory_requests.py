"""requests: sessions that did one request each: memory_requests.py URL CLIENTS"""
import requests

import resident


def make(url):
    session = requests.Session()
    assert session.get(url).status_code == 200
    return session


resident.run(make)
