"""A crawler with aiohttp: `crawler.py URL CONCURRENCY` requests what is linked on a site, each URL once."""

import asyncio
import html
import re
import sys
from urllib.parse import urldefrag, urljoin, urlsplit

import aiohttp

LINK = re.compile(r'\s(?:href|src)\s*=\s*"([^"]*)"')


async def fetch(session, url):
    """Returns the links of the page at `url`, and none for other kinds of files."""
    async with session.get(url) as response:
        if response.status != 200 or response.content_type != "text/html":
            await response.read()
            return []
        text = await response.text("utf-8", errors="replace")
        return [urljoin(str(response.url), html.unescape(link)) for link in LINK.findall(text)]


async def work(session, site, seen, queue):
    """Requests the URLs of the queue, and puts the new ones on it."""
    while True:
        url = await queue.get()
        try:
            for link in await fetch(session, url):
                link = urldefrag(link).url
                if link not in seen and urlsplit(link).netloc == site:
                    seen.add(link)
                    queue.put_nowait(link)
        except aiohttp.ClientError as error:
            print(f"{url}: {error}", file=sys.stderr)
        finally:
            queue.task_done()


async def crawl(start, concurrency):
    """Crawls the site of `start`."""
    seen, queue = {start}, asyncio.Queue()
    queue.put_nowait(start)
    async with aiohttp.ClientSession() as session:
        site = urlsplit(start).netloc
        workers = [asyncio.create_task(work(session, site, seen, queue)) for _ in range(concurrency)]
        await queue.join()
        for worker in workers:
            worker.cancel()
    print(len(seen), "URLs")


asyncio.run(crawl(sys.argv[1], int(sys.argv[2])))
