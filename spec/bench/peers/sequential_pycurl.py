"""pycurl: sequential GETs on one handle: sequential_pycurl.py URL COUNT BYTES"""
import io
import sys

import pycurl

import lap

url, count, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
easy = pycurl.Curl()


def get():
    headers, body = [], io.BytesIO()
    easy.setopt(pycurl.URL, url)
    easy.setopt(pycurl.ACCEPT_ENCODING, "")
    easy.setopt(pycurl.NOSIGNAL, 1)
    easy.setopt(pycurl.HEADERFUNCTION, headers.append)
    easy.setopt(pycurl.WRITEDATA, body)
    easy.perform()
    assert easy.getinfo(pycurl.RESPONSE_CODE) == 200 and headers and len(body.getvalue()) == size


lap.loop(count, get)
