"""The Python clients of the benchmarks. Each gives get(url) -> body and json(url) -> what it says,
after a 200 whose headers and body were kept, on connections that are kept."""
import io
import json


class PyCurl:
    """pycurl: one handle."""

    def __init__(self):
        import pycurl

        self.pycurl, self.easy = pycurl, pycurl.Curl()

    def start(self, url):
        """Sets the handle up for a GET; headers and body come into its own fields."""
        easy, pycurl = self.easy, self.pycurl
        easy.headers, easy.body = [], io.BytesIO()
        easy.setopt(pycurl.URL, url)
        easy.setopt(pycurl.ACCEPT_ENCODING, "")
        easy.setopt(pycurl.NOSIGNAL, 1)
        easy.setopt(pycurl.HEADERFUNCTION, easy.headers.append)
        easy.setopt(pycurl.WRITEDATA, easy.body)
        return easy

    def body(self):
        assert self.easy.getinfo(self.pycurl.RESPONSE_CODE) == 200 and self.easy.headers
        return self.easy.body.getvalue()

    def get(self, url):
        self.start(url).perform()
        return self.body()

    def json(self, url):
        return json.loads(self.get(url))


class Urllib3:
    """urllib3: one pool."""

    def __init__(self, size=1):
        import urllib3

        self.pool = urllib3.PoolManager(maxsize=size, block=True)

    def get(self, url):
        response = self.pool.request("GET", url)
        assert response.status == 200 and response.headers
        return response.data

    def json(self, url):
        return json.loads(self.get(url))


class Requests:
    """requests: one session."""

    def __init__(self):
        import requests

        self.session = requests.Session()

    def response(self, url):
        response = self.session.get(url)
        assert response.status_code == 200 and response.headers
        return response

    def get(self, url):
        return self.response(url).content

    def json(self, url):
        return self.response(url).json()


BY_NAME = {"pycurl": PyCurl, "urllib3": Urllib3, "requests": Requests}
