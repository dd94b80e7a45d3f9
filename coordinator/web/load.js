// load.js - load tests while they run: asks every half second and draws rate, latency and errors over time.

import { get } from './live.js';

const NS = 'http://www.w3.org/2000/svg', H = 170, LEFT = 46, RIGHT = 14, BOTTOM = 20, TOP = 8;
let W = 900;   // of a drawing: as wide as there is room, so that its text is read on a phone too

function svg(name, attrs, text) {
  const e = document.createElementNS(NS, name);
  for (const [k, v] of Object.entries(attrs)) e.setAttribute(k, v);
  if (text !== undefined) e.textContent = text;
  return e;
}
function el(tag, text, cls) {
  const e = document.createElement(tag);
  e.textContent = text;
  if (cls) e.className = cls;
  return e;
}
// A round number at or above v, so that the half of it is one too: 2, 4, 6, 8, 10 times a power of ten.
function ceilNice(v) {
  const p = 10 ** Math.floor(Math.log10(v));
  for (const m of [1, 2, 4, 6, 8]) if (m * p >= v * 0.999) return m * p;
  return 10 * p;
}
const short = (v) => (v === null ? '-' : v >= 1e6 ? `${+(v / 1e6).toPrecision(3)}M` : v >= 1e4 ? `${+(v / 1e3).toPrecision(3)}k` : `${+v.toPrecision(3)}`);

// Round moments, at most n.
function moments(len, n) {
  const step = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400].find((s) => len / s <= n) || 172800;
  return Array.from({ length: Math.floor(len / step + 1e-9) + 1 }, (_, i) => i * step);
}
const moment = (t) => (t && t % 3600 === 0 ? `${t / 3600} h` : t && t % 60 === 0 ? `${t / 60} min` : `${t} s`);

// lines: [{ name, ys, colour, width }] over the same xs; log: the axis counts tens; burns: ground that is shaded.
function chart(title, xs, len, lines, burns, log) {
  const all = lines.flatMap((l) => l.ys).filter((v) => v > 0);
  let hi = Math.max(...all, log ? 1 : 1e-9), lo = log ? Math.min(...all, hi) : 0;
  if (log) { hi = 10 ** Math.ceil(Math.log10(hi) + 1e-9); lo = 10 ** Math.floor(Math.log10(lo)); if (lo >= hi) lo = hi / 10; } else { hi = Math.max(2, ceilNice(hi)); }
  const x = (t) => LEFT + (t / len) * (W - LEFT - RIGHT);
  const y = (v) => {
    const t = log ? (Math.log10(Math.max(v, lo)) - Math.log10(lo)) / (Math.log10(hi) - Math.log10(lo)) : v / hi;
    return H - BOTTOM - t * (H - BOTTOM - TOP);
  };
  const g = svg('svg', { viewBox: `0 0 ${W} ${H}`, role: 'img', 'aria-label': title });
  g.style.cssText = 'display:block;width:100%;height:auto';
  const marks = [];
  if (log) for (let v = lo; v <= hi * 1.01; v *= 10) marks.push(v);
  else marks.push(0, hi / 2, hi);
  for (const v of marks) {
    g.append(svg('line', { x1: LEFT, x2: W - RIGHT, y1: y(v), y2: y(v), stroke: 'var(--line)' }));
    g.append(svg('text', { x: LEFT - 6, y: y(v) + 4, 'text-anchor': 'end', fill: 'var(--soft)', 'font-size': 11 }, short(v)));
  }
  for (const t of moments(len, W < 500 ? 5 : 12)) g.append(svg('text', { x: x(t), y: H - 4, 'text-anchor': x(t) > W - 24 ? 'end' : 'middle', fill: 'var(--soft)', 'font-size': 11 }, moment(t)));
  for (const b of burns) {
    const to = x(Math.min(len, b.at_s + b.for_s));
    g.append(svg('rect', { x: x(b.at_s), y: TOP, width: Math.max(1, to - x(b.at_s)), height: H - BOTTOM - TOP, fill: 'var(--fail)', opacity: 0.12 }));
    g.append(svg('text', { x: x(b.at_s) + 4, y: TOP + 12, fill: 'var(--soft)', 'font-size': 11 }, 'burn'));
  }
  for (const l of lines) {
    const points = l.ys.map((v, i) => (v === null ? '' : `${x(xs[i]).toFixed(1)},${y(v).toFixed(1)}`)).join(' ');   // null: nothing was answered
    g.append(svg('polyline', { points, fill: 'none', stroke: l.colour, 'stroke-width': l.width }));
  }
  const box = document.createElement('div'), head = el('h3', title);
  head.style.cssText = 'font-size:.95rem;font-weight:600;margin-top:.6rem';
  for (const l of lines.filter((v) => v.name)) {
    const name = el('span', ` ${l.name}`);
    name.style.cssText = `font-weight:400;font-size:.85rem;margin-left:.8em;color:${l.colour}`;
    head.append(name);
  }
  box.append(head, g);
  return box;
}

function draw(r) {
  // what came after the plan's end were only answers to what was under way
  const box = document.createElement('section'), p = r.points.filter((v, i) => !i || v.t_s < r.len_s - 1e-9), xs = p.map((v) => v.t_s + r.interval_s / 2), last = p[p.length - 1], burns = r.burns || [];
  box.className = 'card';
  box.append(el('h2', `${r.name}: ${r.target}`));
  box.append(el('p', `${r.state}${r.verdict === 'none' ? '' : `, ${r.verdict}`}, ${r.elapsed_s.toFixed(0)} of ${r.len_s.toFixed(0)} s, ${r.workers} workers, test ${r.run}`, 'note'));
  if (last) {
    box.append(el('p', `${short(last.rate_per_s)}/s, p50 ${short(last.p50_ms)} ms, p99 ${short(last.p99_ms)} ms, max ${short(last.max_ms)} ms, ${last.in_flight} in flight, ` +
      `${r.errors} errors${r.errors ? ` (${Object.entries(r.errors_by_kind).map(([k, n]) => `${k} ${n}`).join(', ')})` : ''}`));
    box.append(chart('A second', xs, r.len_s, [{ name: 'answers', ys: p.map((v) => v.rate_per_s), colour: 'var(--run)', width: 2 },
      { name: 'arrivals of the plan', ys: p.map((v) => v.due_per_s), colour: 'var(--wait)', width: 1 }], burns));
    box.append(chart('Latency, ms', xs, r.len_s, [{ name: 'max', ys: p.map((v) => v.max_ms), colour: 'var(--wait)', width: 1 },
      { name: 'p99', ys: p.map((v) => v.p99_ms), colour: 'var(--run)', width: 2 }, { name: 'p50', ys: p.map((v) => v.p50_ms), colour: 'var(--done)', width: 1.5 }], burns, true));
    box.append(chart('Errors a second', xs, r.len_s, [{ ys: p.map((v) => v.errors / r.interval_s), colour: 'var(--fail)', width: 2 }], burns));
  }
  return box;
}

async function turn() {
  const link = document.getElementById('link');
  try {
    const { runs } = await get('/api/v1/load');
    W = Math.max(300, document.getElementById('runs').clientWidth - 40);
    document.getElementById('runs').replaceChildren(...(runs.length ? runs.reverse().map(draw) : [el('p', 'No load test is running. griddle load http URL --rate 100/s starts one.', 'card')]));
    link.dataset.state = 'live';
    link.textContent = 'live';
  } catch (e) {
    link.dataset.state = 'gone';
    link.textContent = e.status === 401 ? 'wants a token: give it on the cluster page' : 'no answer';
  }
  setTimeout(turn, 500);
}
turn();
