"""page_check.py PROGRAM URL FOLDER - the live page in a browser: says a TAP line a claim; screenshots go to FOLDER"""
import sys
import urllib.parse

from browser import Browser

program, url, folder = sys.argv[1:4]
n = 0


def check(name, ok, more=""):
    global n
    n += 1
    print(("ok" if ok else "not ok") + f" {n} - {name}" + (f"\n# {more}" if more and not ok else ""), flush=True)


b = Browser(program)
try:
    b.size(1360, 900, False)
    b.goto(url)
    check("the page comes alive", b.wait("document.getElementById('link')?.dataset.state === 'live' && !!document.querySelector('.tile')"))
    check("each worker is shown with its slots", b.wait("document.querySelectorAll('.pod').length === 2 && document.querySelectorAll('.pod .slots i').length === 4"))
    check("throughput is drawn", b.wait("!!document.querySelector('#chart svg path')"))
    check("the timeline has a lane for each worker", b.wait("document.querySelectorAll('#lanes .lane-name').length === 2"))
    check("a job that waits says why in its line", b.wait("[...document.querySelectorAll('.job .tail')].some((x) => x.textContent.includes('no worker could run it'))"))
    check("and among the reasons, by its number", b.wait("/^4job 1: no worker could run it$/.test(document.querySelector('#reasons li')?.textContent)"))
    check("what cannot run has no time left", b.eval("!document.getElementById('now').textContent.includes('at this rate')"))
    for name, width, height, dark in [("wide-light", 1360, 900, False), ("wide-dark", 1360, 900, True), ("phone-light", 390, 844, False), ("phone-dark", 390, 844, True)]:
        b.size(width, height, dark)
        b.wait("new Promise((r) => requestAnimationFrame(() => setTimeout(() => r(true), 200)))")
        over = b.eval("document.documentElement.scrollWidth - innerWidth")
        check(f"nothing is wider than the screen: {name}", over <= 0, f"{over} pixels too wide")
        cut = b.eval("[...document.querySelectorAll('.job .tail')].some((x) => x.scrollWidth > x.clientWidth)")
        check(f"the reason is not cut: {name}", not cut)
        back = b.eval("getComputedStyle(document.body).backgroundColor")
        light = sum(int(x) for x in back[back.index("(") + 1:-1].split(",")[:3]) > 3 * 128
        check(f"its colours are {'dark' if dark else 'light'}: {name}", light != dark, back)
        b.shot(f"{folder}/page-{name}.png")
    b.size(1360, 900, False)
    b.key("?")
    check("? opens the list of keys", b.eval("document.getElementById('help').open"))
    b.key("Escape")
    check("Escape closes it", b.wait("!document.getElementById('help').open", 3))
    if not b.eval("document.getElementById('jobs').hidden"):
        b.key("/")
        check("/ goes to the filter", b.eval("document.activeElement.id") == "filter")
        b.key("Escape")
    b.key("t")
    check("t changes to dark", b.eval("document.documentElement.dataset.theme") == "dark")
    small = b.eval("[...document.querySelectorAll('button')].filter((x) => x.offsetParent && !x.textContent.trim() && !x.ariaLabel).length")
    check("every button has a name", small == 0)
    origin = urllib.parse.urlsplit(url).netloc
    asked = [e["params"]["request"]["url"] for e in b.events if e.get("method") == "Network.requestWillBeSent"]
    away = [u for u in asked if urllib.parse.urlsplit(u).netloc != origin and not u.startswith("data:")]
    check("nothing is asked of others", len(asked) > 8 and not away, str(away[:3]))
    bad = [e for e in b.events if e.get("method") == "Runtime.exceptionThrown" or
           (e.get("method") == "Log.entryAdded" and e["params"]["entry"]["level"] == "error") or
           (e.get("method") == "Audits.issueAdded" and e["params"]["issue"]["code"] == "ContentSecurityPolicyIssue")]
    check("no error, no breach of the policy", not bad, str(bad)[:600])
finally:
    b.close()
print(f"1..{n}")
