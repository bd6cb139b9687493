"""The page chain, each page decoded by the client's own means or json, tokens followed:
chain.py CLIENT URL PAGES ITEMS"""
import sys

import clients
import lap

client = clients.BY_NAME[sys.argv[1]]()
first, pages, items = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])


def walk(count):
    url = first
    for seen in range(1, count + 1):
        page = client.json(url)
        assert len(page["items"]) == items and page["items"][-1]["session"]
        assert "nextPageToken" in page or seen == count
        url = first + ("&" if "?" in first else "?") + "token=" + page.get("nextPageToken", "")


walk(min(pages, 5))
begin = lap.begin()
walk(pages)
lap.finish(begin, pages)
