"""pycurl: handles that did one request each: memory_pycurl.py URL CLIENTS"""
import pycurl

import resident


def make(url):
    easy = pycurl.Curl()
    easy.setopt(pycurl.URL, url)
    easy.setopt(pycurl.WRITEFUNCTION, len)
    easy.perform()
    return easy


resident.run(make)
