// live.js - what the page knows of the coordinator: requests with a token when one is wanted, and the stream of events.
// EventSource cannot send a token, so the stream is read by fetch; it carries on behind the last event after a break.

const KEY = 'griddle-token';
let askToken = async () => null;
let asking = null;

export function onTokenWanted(ask) { askToken = ask; }

function headers(more) {
  const token = sessionStorage.getItem(KEY);
  return { ...more, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
}

async function wantToken(why) {
  asking ??= askToken(why).finally(() => { asking = null; });
  const token = await asking;
  if (token) sessionStorage.setItem(KEY, token);
  return token;
}

export class Problem extends Error {
  constructor(status, detail) { super(detail); this.status = status; }
}

async function send(path, options = {}) {
  for (;;) {
    const used = sessionStorage.getItem(KEY);
    const r = await fetch(path, { ...options, headers: headers(options.headers), cache: 'no-store' });
    if (r.status !== 401) return r;
    if (sessionStorage.getItem(KEY) === used && !await wantToken(used ? 'That token is not known here.' : ''))
      throw new Problem(401, 'a token is wanted');
  }
}

async function problemOf(r) {
  try { return new Problem(r.status, (await r.json()).detail || r.statusText); } catch { return new Problem(r.status, r.statusText); }
}

export async function get(path) {
  const r = await send(path);
  if (!r.ok) throw await problemOf(r);
  return r.json();
}

export async function getText(path) {
  const r = await send(path);
  if (!r.ok) throw await problemOf(r);
  return r.text();
}

export async function post(path, body = {}) {
  const r = await send(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
  if (!r.ok) throw await problemOf(r);
  return r.json();
}

const pause = (ms) => new Promise((done) => { setTimeout(done, ms); });

// One event's text -> { id, type, data }.
function parse(text) {
  const e = { type: 'message', data: '' };
  for (const line of text.split('\n')) {
    const at = line.indexOf(':');
    if (at <= 0) continue;
    const value = line.slice(at + 1).replace(/^ /, '');
    const field = line.slice(0, at);
    if (field === 'id') e.id = value;
    else if (field === 'event') e.type = value;
    else if (field === 'data') e.data += value;
  }
  return e.data ? e : null;
}

// For ever: calls onEvent({type, data}), and onState('live' | 'gone').
export async function follow(onEvent, onState) {
  let last = '';
  for (let wait = 500; ; wait = Math.min(wait * 2, 8000)) {
    try {
      const r = await send('/api/v1/events', last ? { headers: { 'Last-Event-ID': last } } : {});
      if (!r.ok) throw await problemOf(r);
      onState('live');
      wait = 500;
      const reader = r.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = '';
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        text += value;
        for (let end; (end = text.indexOf('\n\n')) >= 0; text = text.slice(end + 2)) {
          const e = parse(text.slice(0, end));
          if (!e) continue;
          if (e.id) last = e.id;
          let data = {};
          try { data = JSON.parse(e.data); } catch { continue; }
          onEvent({ type: e.type, data });
        }
      }
    } catch (e) {
      if (e.status === 401) return;
    }
    onState('gone');
    await pause(wait);
  }
}

// ---- words for people ----

export const count = (n) => (n >= 999500 ? `${(n / 1e6).toFixed(n < 9.95e6 ? 2 : 1)}M` : n >= 1e5 ? `${(n / 1e3).toFixed(0)}k` : String(n ?? 0));

export function rate(r) {
  if (!(r > 0)) return '0';
  return r >= 100 ? r.toFixed(0) : r >= 10 ? r.toFixed(1) : r.toFixed(2);
}

export function span(ms) {
  const s = Math.round(ms / 1000);
  if (ms < 950) return `${Math.round(ms)} ms`;
  if (ms < 59500) return `${(ms / 1000).toFixed(ms < 9950 ? 1 : 0)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${String(s % 60).padStart(2, '0')} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${String(Math.floor(s / 60) % 60).padStart(2, '0')} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor(s / 3600) % 24} h`;
}

export function bytes(n) {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let u = 0;
  for (; n >= 999.5 && u < units.length - 1; u++) n /= 1000;
  return `${u && n < 99.95 ? n.toFixed(1) : Math.round(n)} ${units[u]}`;
}

export const clock = (ms) => new Date(ms).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false });
