// charts.js - small SVG drawings: throughput over time, a spark line, and a timeline of attempts by worker. No library: three
// shapes do not earn one, and the page may load nothing from elsewhere.

import { clock, count, rate } from './live.js';

const NS = 'http://www.w3.org/2000/svg';

export function svg(name, attrs = {}, ...children) {
  const e = document.createElementNS(NS, name);
  for (const [k, v] of Object.entries(attrs)) e.setAttribute(k, v);
  e.append(...children);
  return e;
}

const tip = document.getElementById('tip');
export function showTip(text, x, y) {
  tip.textContent = text;
  tip.hidden = false;
  const w = tip.offsetWidth, h = tip.offsetHeight;
  tip.style.left = `${Math.max(4, Math.min(x + 12, innerWidth - w - 8))}px`;
  tip.style.top = `${y + h + 20 > innerHeight ? y - h - 10 : y + 14}px`;
}
export function hideTip() { tip.hidden = true; }

// A round number at or above v: 1, 2, 5 times a power of ten.
function ceilNice(v) {
  const p = 10 ** Math.floor(Math.log10(v));
  for (const m of [1, 2, 5, 10]) if (m * p >= v * 0.999) return m * p;
  return 10 * p;
}

const line = (ys, x, y) => ys.map((v, i) => `${i ? 'L' : 'M'}${x(i).toFixed(1)} ${y(v).toFixed(1)}`).join('');

// Mean of each bucket of k values, so that a minute of bursts reads as a rate.
function coarse(values, k) {
  const out = [];
  for (let end = values.length; end > 0; end -= k) {
    const part = values.slice(Math.max(0, end - k), end);
    out.unshift(part.reduce((a, b) => a + b, 0) / part.length);
  }
  return out;
}

// Times ago at which the axis says something: at most n, on round seconds or minutes.
function ticks(whole, n) {
  const step = [5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 18e4, 3e5, 6e5].find((s) => whole / s < n) || 6e5;
  return Array.from({ length: Math.floor(whole / step) + 1 }, (_, i) => i * step);
}
const short = (ms) => (ms % 60000 ? `${ms / 1000} s` : `${ms / 60000} min`);

export function throughput(box, h) {
  const width = Math.max(280, box.clientWidth), height = width < 500 ? 150 : 190;
  const left = 38, right = 38, top = 10, bottom = 20;
  const k = Math.max(1, Math.ceil(h.ended.length / ((width - left - right) / 4)));
  const done = coarse(h.ended, k), failed = coarse(h.failed, k), running = coarse(h.running, k);
  const n = done.length;
  const max = ceilNice(Math.max(1, ...done)), maxRun = ceilNice(Math.max(1, ...running, ...h.slots.slice(-1)));
  const x = (i) => left + (n < 2 ? 0 : (width - left - right) * i / (n - 1));
  const y = (v) => height - bottom - (height - top - bottom) * v / max;
  const yr = (v) => height - bottom - (height - top - bottom) * v / maxRun;
  const g = svg('svg', { viewBox: `0 0 ${width} ${height}`, height, 'aria-hidden': 'true' });

  for (const part of [0, 0.5, 1]) {
    g.append(svg('line', { class: 'grid', x1: left, x2: width - right, y1: y(max * part), y2: y(max * part) }));
    if (part === 0.5 && max < 2) continue;
    g.append(svg('text', { x: left - 6, y: y(max * part) + 4, 'text-anchor': 'end' }, count(max * part)));
    g.append(svg('text', { x: width - right + 6, y: y(max * part) + 4 }, maxRun * part % 1 ? '' : count(maxRun * part)));
  }
  const whole = (n - 1) * k * h.step_ms;
  for (const ago of ticks(whole, width < 500 ? 3 : 6)) {
    const at = n - 1 - ago / (k * h.step_ms);
    g.append(svg('text', { x: x(at), y: height - 4, 'text-anchor': ago ? 'middle' : 'end' }, ago ? `−${short(ago)}` : 'now'));
  }
  g.append(svg('path', { class: 'area-done', d: `${line(done, x, y)}L${x(n - 1).toFixed(1)} ${y(0)}L${left} ${y(0)}Z` }));
  g.append(svg('path', { class: 'line-run', d: line(running, x, yr) }));
  g.append(svg('path', { class: 'line-done', d: line(done, x, y) }));
  failed.forEach((v, i) => {
    if (v > 0) g.append(svg('rect', { class: 'bar-fail', x: x(i) - 1.5, width: 3, y: Math.min(y(v), y(0) - 3), height: Math.max(3, y(0) - y(v)) }));
  });
  const cursor = svg('line', { class: 'cursor', y1: top, y2: height - bottom, visibility: 'hidden' });
  g.append(cursor);
  box.replaceChildren(g);

  const point = (i, cx, cy) => {
    i = Math.max(0, Math.min(n - 1, i));
    box.dataset.at = i;
    cursor.setAttribute('x1', x(i));
    cursor.setAttribute('x2', x(i));
    cursor.setAttribute('visibility', 'visible');
    const r = box.getBoundingClientRect();
    showTip(`${clock(h.end_ms - (n - 1 - i) * k * h.step_ms)}\n${rate(done[i])} tasks/s ended${failed[i] ? `, ${rate(failed[i])} failed` : ''}\n${rate(running[i])} running`,
      cx ?? r.left + x(i) / width * r.width, cy ?? r.top + 20);
  };
  const clear = () => { cursor.setAttribute('visibility', 'hidden'); hideTip(); };
  box.onpointermove = (e) => {
    const r = box.getBoundingClientRect();
    point(Math.round(((e.clientX - r.left) / r.width * width - left) / (width - left - right) * (n - 1)), e.clientX, e.clientY);
  };
  box.onpointerleave = clear;
  box.onblur = clear;
  box.onkeydown = (e) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[e.key];
    if (!step) return;
    e.preventDefault();
    point((box.dataset.at ? +box.dataset.at : n - 1) + step);
  };
}

export function spark(values) {
  const max = Math.max(1, ...values), n = values.length;
  return svg('svg', { viewBox: '0 0 100 20', preserveAspectRatio: 'none', 'aria-hidden': 'true' },
    svg('path', { class: 'spark', d: line(values, (i) => 100 * i / Math.max(1, n - 1), (v) => 18.5 - 17 * v / max) }));
}

const MAX_LANES = 48;

// Attempts of one worker into as few lanes as show them all without overlap.
function lanesOf(attempts, now) {
  const free = [];
  attempts.sort((a, b) => a.start_ms - b.start_ms);
  return attempts.map((a) => {
    let lane = free.findIndex((t) => t <= a.start_ms);
    if (lane < 0) lane = free.length;
    free[lane] = a.end_ms ?? now;
    return { a, lane };
  });
}

export function timeline(box, note, attempts, workers, now, spanMs, label) {
  const width = Math.max(280, box.clientWidth), isNarrow = width < 500;
  const left = isNarrow ? 76 : 150, row = 15, gap = 7, top = 4;
  const from = now - spanMs;
  const x = (t) => left + (width - left) * Math.max(0, Math.min(1, (t - from) / spanMs));
  const by = new Map(workers.map((w) => [w.name, []]));
  let hidden = 0, y = top;
  const g = svg('svg', { 'aria-hidden': 'true' });

  for (const a of attempts) {
    if ((a.end_ms ?? now) < from) continue;
    if (!by.has(a.worker)) by.set(a.worker, []);
    by.get(a.worker).push(a);
  }
  let lanes = 0;
  for (const [name, list] of by) {
    const placed = lanesOf(list, now);
    const n = Math.max(1, ...placed.map((p) => p.lane + 1));
    if (lanes + n > MAX_LANES && lanes) { hidden++; continue; }
    lanes += n;
    const short = isNarrow && name.length > 10 ? `…${name.slice(-9)}` : name.length > 22 ? `…${name.slice(-21)}` : name;
    g.append(svg('text', { class: 'lane-name', x: 0, y: y + row / 2 + 4 }, short));
    for (let i = 0; i < n; i++) g.append(svg('rect', { class: 'lane', x: left, y: y + i * row, width: width - left, height: row - 2, rx: 3 }));
    for (const { a, lane } of placed) {
      const x0 = x(a.start_ms), x1 = Math.max(x0 + 1.2, x(a.end_ms ?? now));
      const r = svg('rect', { class: `att c${a.color}${a.end_ms ? '' : ' live'}${a.end_ms && !a.ok ? ' bad' : ''}`, x: x0.toFixed(1), y: y + lane * row + 1, width: (x1 - x0).toFixed(1), height: row - 4 });
      r.attempt = a;
      g.append(r);
    }
    y += n * row + gap;
  }
  for (const ago of ticks(spanMs, isNarrow ? 4 : 6)) {
    g.append(svg('text', { x: x(now - ago), y: y + 10, 'text-anchor': ago === 0 ? 'end' : ago === spanMs ? 'start' : 'middle' }, ago ? `−${short(ago)}` : 'now'));
  }
  y += 16;
  g.setAttribute('viewBox', `0 0 ${width} ${y}`);
  g.setAttribute('height', y);
  box.replaceChildren(g);
  note.textContent = hidden ? `${hidden} more workers are not drawn.` : by.size ? '' : 'No worker is connected.';
  box.onpointermove = (e) => { e.target.attempt ? showTip(label(e.target.attempt), e.clientX, e.clientY) : hideTip(); };
  box.onpointerleave = hideTip;
}
