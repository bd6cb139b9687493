"""The page chain for the Python peers: pages fetched by get, decoded, tokens followed."""
import sys

import lap


def run(get):
    """Reads the arguments URL PAGES ITEMS; get(url) gives a page, decoded."""
    first, pages, items = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

    def walk(count):
        url = first
        for seen in range(1, count + 1):
            page = get(url)
            assert len(page["items"]) == items and page["items"][-1]["session"]
            assert "nextPageToken" in page or seen == count
            url = first + ("&" if "?" in first else "?") + "token=" + page.get("nextPageToken", "")

    walk(min(pages, 5))
    begin = lap.begin()
    walk(pages)
    lap.finish(begin, pages)
