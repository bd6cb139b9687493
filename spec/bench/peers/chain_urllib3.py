"""urllib3 and json: the page chain: chain_urllib3.py URL PAGES ITEMS"""
import json

import urllib3

import chain

pool = urllib3.PoolManager(maxsize=1)


def get(url):
    response = pool.request("GET", url)
    assert response.status == 200
    return json.loads(response.data)


chain.run(get)
