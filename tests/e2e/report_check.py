"""report_check.py CHROMIUM REPORT.html - a report's charts and tables at a desk's and a phone's width: all of each is in sight, no label lies on another"""
import os
import sys

from browser import Browser

LOOK = """(() => {
  const box = (e) => e.getBoundingClientRect(), bad = [];
  if (document.documentElement.scrollWidth > innerWidth) bad.push('the page scrolls sideways');
  for (const f of document.querySelectorAll('figure')) {
    const name = f.firstChild.textContent, line = f.querySelector('svg'), labels = [...f.querySelectorAll('.plot b.x, .plot b.y')].filter((e) => box(e).width);
    if (f.scrollWidth > f.clientWidth) bad.push(`${name}: scrolls sideways`);
    if (box(line).left < 0 || box(line).right > innerWidth || box(line).width < innerWidth / 2) bad.push(`${name}: its lines are ${box(line).left} to ${box(line).right}`);
    if (labels.length < 4) bad.push(`${name}: ${labels.length} labels`);
    for (const a of labels) {
      if (box(a).left < 0 || box(a).right > innerWidth) bad.push(`${name}: ${a.textContent} is out of sight`);
      for (const b of labels)
        if (a !== b && box(a).left < box(b).right && box(b).left < box(a).right && box(a).top < box(b).bottom && box(b).top < box(a).bottom)
          bad.push(`${name}: ${a.textContent} on ${b.textContent}`);
    }
  }
  for (const t of document.querySelectorAll('table')) {
    const name = t.querySelector('th').textContent;
    if (t.scrollWidth > t.clientWidth) bad.push(`table ${name}: scrolls sideways`);
    for (const c of t.querySelectorAll('td')) if (box(c).width && box(c).right > innerWidth) bad.push(`table ${name}: ${c.textContent} is out of sight`);
    if (innerWidth < 600)
      for (const c of t.querySelectorAll('td:not(:empty):not(.l):not(.good):not(.bad)'))
        if (getComputedStyle(c, '::before').content.length < 3) bad.push(`table ${name}: nothing says what ${c.textContent} is`);
  }
  return [document.querySelectorAll('figure').length, ...bad];
})()"""

# a time as wide as they get: what this run measured is not what is looked at
WIDEST = "document.querySelectorAll('table td[data-k]').forEach((c) => { if (/^[0-9.e+-]+$/.test(c.textContent)) c.textContent = '0.0008888'; })"

browser = Browser(sys.argv[1])
try:
    for width in 1280, 390, 320:
        browser.size(width, 900, False)
        browser.goto("file://" + os.path.abspath(sys.argv[2]))
        assert browser.wait("document.readyState === 'complete' && document.querySelectorAll('figure').length > 0"), "no report"
        n, *bad = browser.eval(LOOK)
        browser.eval(WIDEST)
        bad += browser.eval(LOOK)[1:]
        assert n == 5 and not bad, f"{width} px: {n} charts; " + "; ".join(bad)
finally:
    browser.close()
