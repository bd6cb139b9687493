"""requests and its json: the page chain: chain_requests.py URL PAGES ITEMS"""
import requests

import chain

session = requests.Session()


def get(url):
    response = session.get(url)
    assert response.status_code == 200
    return response.json()


chain.run(get)
