"""pycurl and json: the page chain: chain_pycurl.py URL PAGES ITEMS"""
import io
import json

import pycurl

import chain

easy = pycurl.Curl()


def get(url):
    headers, body = [], io.BytesIO()
    easy.setopt(pycurl.URL, url)
    easy.setopt(pycurl.ACCEPT_ENCODING, "")
    easy.setopt(pycurl.NOSIGNAL, 1)
    easy.setopt(pycurl.HEADERFUNCTION, headers.append)
    easy.setopt(pycurl.WRITEDATA, body)
    easy.perform()
    assert easy.getinfo(pycurl.RESPONSE_CODE) == 200
    return json.loads(body.getvalue())


chain.run(get)
