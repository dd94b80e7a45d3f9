"""load_page_check.py CHROMIUM URL RUN - the live page of load tests in a browser: RUN's charts have lines, at a desk's and a phone's width, and nothing is
said on the console"""
import sys

from browser import Browser

CARD = f"[...document.querySelectorAll('#runs section')].find((e) => e.textContent.includes('{sys.argv[3]}'))"
LINES = f"[...({CARD}?.querySelectorAll('svg polyline') || [])].map((l) => l.getAttribute('points').trim().split(/\\s+/).filter(Boolean).length)"

browser = Browser(sys.argv[1])
try:
    for width in 1280, 390:
        browser.size(width, 900, False)
        browser.goto(sys.argv[2])
        assert browser.wait(f"({LINES}).filter((n) => n >= 2).length >= 5", 30), f"{width} px: points of the lines: {browser.eval(LINES)}"
        assert not browser.eval(f"/NaN|undefined|null/.test({CARD}.outerHTML)"), "a value that is none: " + browser.eval(CARD + ".innerText")
        text = browser.eval(CARD + ".innerText")
        for want in "/s, p50", "in flight", "errors", "Latency, ms", "Errors a second":
            assert want in text, f"no \"{want}\" in {text}"
        assert browser.eval("document.documentElement.scrollWidth <= innerWidth"), f"{width} px: the page scrolls sideways"
    said = [m for m in browser.events if m.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded")]
    assert not said, said
finally:
    browser.close()
