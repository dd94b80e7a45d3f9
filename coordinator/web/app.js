// app.js - the page: asks every two seconds and whenever an event says that something changed, and draws what differs.

import { get, getText, post, follow, onTokenWanted, count, rate, span, bytes, clock } from './live.js';
import { throughput, spark, timeline, showTip, hideTip } from './charts.js';

const $ = (id) => document.getElementById(id);

function el(tag, attrs = {}, ...children) {
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(attrs)) {
    if (k.startsWith('on')) e[k] = v;
    else if (v === true) e.setAttribute(k, '');
    else if (v !== false && v !== null && v !== undefined) e.setAttribute(k, v);
  }
  e.append(...children.filter((c) => c !== null && c !== undefined && c !== false));
  return e;
}

const state = {
  status: null, nodes: [], jobs: [], older: [], next: null, history: null, attempts: new Map(), sinceAttempt: 0, timeSkew: 0,
  open: null, tasks: null, log: null, spanMs: 60000,
};

// ---- what the coordinator says ----

async function pull() {
  const status = await get('/api/v1/status');
  const [nodes, jobs, history, recent] = await Promise.all([
    get('/api/v1/nodes'), status.jobs ? get('/api/v1/jobs?limit=50&newest=true') : { jobs: [], next: null }, get('/api/v1/history'),
    get(`/api/v1/timeline?after=${state.sinceAttempt}`),
  ]);
  for (const j of jobs.jobs) prepare(j, recent.now_ms);
  Object.assign(state, { status, nodes: nodes.nodes, jobs: jobs.jobs, history });
  if (!state.older.length) state.next = jobs.next;
  state.timeSkew = recent.now_ms - Date.now();
  if (recent.restarted) state.attempts.clear();
  for (const a of recent.attempts) state.attempts.set(a.n, a);
  state.sinceAttempt = recent.next;
  const oldest = recent.now_ms - 15 * 60000;
  for (const [n, a] of state.attempts) if (a.end_ms && a.end_ms < oldest) state.attempts.delete(n);
  if (state.open !== null) await pullDetail();
  draw();
}

// What the page shows of a job besides: tasks that wait, the pace, the time left.
function prepare(j, now) {
  const c = j.counts;
  c.pending = c.blocked + c.ready + c.backoff + c.sent;
  const n = c.done + c.failed, took = now - j.started_ms;
  if (j.ended_ms || !j.started_ms || !n || took <= 0) return j;
  j.rate_per_s = 1000 * n / took;
  j.eta_ms = (c.pending + c.running) * took / n;
  return j;
}

async function pullDetail() {
  try {
    const [job, tasks] = await Promise.all([get(`/api/v1/jobs/${state.open}`),
      get(`/api/v1/jobs/${state.open}/tasks?limit=20${state.detail?.counts.failed ? '&state=failed' : ''}`)]);
    state.detail = prepare(job, Date.now() + state.timeSkew);
    state.tasks = tasks.tasks;
    if (state.log && state.log.live) state.log.text = await getText(state.log.path);
  } catch (e) {
    if (e.status !== 404) throw e;
    state.open = null;
  }
}

let due = null, isPulling = false, isStale = false;
function refresh(ms = 0) {
  if (isPulling) { isStale = true; return; }
  clearTimeout(due);
  due = setTimeout(async () => {
    if (document.hidden) { refresh(2000); return; }
    isPulling = true;
    isStale = false;
    try { await pull(); } catch (e) { setLink('gone', e.status ? e.message : 'no answer'); }
    isPulling = false;
    refresh(isStale ? 300 : 2000);
  }, ms);
}

function setLink(to, why) {
  $('link').dataset.state = to;
  $('link').textContent = to === 'live' ? 'live' : why || 'not connected, trying again';
}

// ---- tiles ----

const last = (a, n) => a.slice(-n);
const mean = (a) => (a.length ? a.reduce((x, y) => x + y, 0) / a.length : 0);

function tile(title, value, unit, note, extra) {
  return el('div', { class: 'tile' }, el('h3', {}, title), el('b', {}, value, unit ? el('small', {}, ` ${unit}`) : null), extra, note ? el('p', {}, note) : null);
}

function drawTiles() {
  const s = state.status, h = state.history, used = s.slots - s.free;
  const meter = el('div', { class: 'meter' }, el('i'));
  meter.firstChild.style.width = `${s.slots ? 100 * used / s.slots : 0}%`;
  const queued = s.tasks.queued + s.tasks.waiting;
  const active = state.jobs.filter((j) => j.state === 'running').length;
  const speed = mean(last(h.ended, 10));
  const stuck = state.jobs.reduce((n, j) => n + (j.pending ? j.counts.ready : 0), 0), moving = Math.max(0, queued - stuck);
  $('now').replaceChildren(
    tile('Slots in use', `${count(used)}`, `of ${count(s.slots)}`, `${s.workers} worker${s.workers === 1 ? '' : 's'}${s.draining ? `, ${s.draining} draining` : ''}${s.quarantined ? `, ${s.quarantined} quarantined` : ''}`, meter),
    tile('Throughput', rate(speed), 'tasks/s', null, spark(last(h.ended, 60))),
    tile('Tasks waiting', count(queued), null, moving && speed ? `about ${span(moving / speed * 1000)} at this rate` : moving ? 'nothing is getting done' : queued ? 'see why below' : 'nothing waits'),
    s.jobs ? tile('Jobs running', count(active), null, `${state.jobs.filter((j) => j.state === 'failed').length} failed of the last ${state.jobs.length}`)
      : tile('Tasks ended', count(s.accepted - s.tasks.waiting - s.tasks.queued - s.tasks.running), null, `${count(s.outcomes.done)} of them done`));
}

// ---- jobs ----

const parts = [['done', 'p-done'], ['failed', 'p-fail'], ['running', 'p-run'], ['cancelled', 'p-gone']];

function progress(j) {
  const bar = el('span', { class: 'progress', role: 'img', 'aria-label': `${j.counts.done} of ${j.n_tasks} done, ${j.counts.failed} failed, ${j.counts.running} running` });
  for (const [key, cls] of parts) {
    if (!j.counts[key]) continue;
    const i = el('i', { class: cls });
    i.style.width = `max(2px, ${100 * j.counts[key] / Math.max(1, j.n_tasks)}%)`;
    bar.append(i);
  }
  return bar;
}

function tail(j) {
  const bits = [`${count(j.counts.done)}/${count(j.n_tasks)}`];
  if (j.counts.failed) bits.push(`${count(j.counts.failed)} failed`);
  if (j.ended_ms) bits.push(`took ${span(j.ended_ms - j.submitted_ms)}`);
  else if (j.eta_ms) bits.push(`${rate(j.rate_per_s)}/s, ${span(j.eta_ms)} left`);
  else if (j.counts.running) bits.push(`${count(j.counts.running)} running`);
  if (j.counts.pending && j.pending) bits.push(j.pending);
  return bits.join(' · ');
}

async function act(j, what) {
  try { await post(`/api/v1/jobs/${j.job}/${what}`); } catch (e) { alert(e.message); }
  refresh();
}

function fact(name, value) { return value || value === 0 ? el('div', {}, el('dt', {}, name), el('dd', {}, String(value))) : null; }

async function showLog(j, t, stream) {
  const path = `/api/v1/jobs/${j.job}/tasks/${t.task}/logs/${stream}`;
  if (state.log?.path === path) { state.log = null; draw(); return; }
  state.log = { path, task: t.task, text: '', live: !['done', 'failed', 'cancelled'].includes(t.state) };
  try { state.log.text = await getText(path); } catch (e) { state.log.text = e.message; }
  draw();
}

function taskTable(j) {
  const rows = [];
  for (const t of state.tasks || []) {
    rows.push(el('tr', {}, el('td', { class: 'n' }, String(t.task)), el('td', {}, el('span', { class: 'state', 'data-s': t.state }, t.state)),
      el('td', { class: 'wide' }, t.worker || ''), el('td', {}, t.pending || (t.signal ? `signal ${t.signal}` : t.end_ms ? `${t.cause && t.cause !== 'done' ? `${t.cause}, ` : ''}exit ${t.exit_code}` : '')),
      el('td', { class: 'wide' }, t.end_ms ? span(t.end_ms - t.start_ms) : ''),
      el('td', {}, !t.start_ms ? '' : el('button', { type: 'button', onclick: () => showLog(j, t, 'stdout') }, 'output'), ' ',
        t.start_ms ? el('button', { type: 'button', onclick: () => showLog(j, t, 'stderr') }, 'errors') : '')));
    if (state.log?.task === t.task) rows.push(el('tr', {}, el('td', { colspan: 6 }, el('pre', { class: 'log', tabindex: 0 }, state.log.text || '(nothing yet)'))));
  }
  if (!rows.length) return null;
  return el('table', { class: 'tasks' }, el('thead', {}, el('tr', {}, ...['Task', 'State'].map((h) => el('th', {}, h)), el('th', { class: 'wide' }, 'Worker'), el('th', {}, 'Outcome'), el('th', { class: 'wide' }, 'Time'), el('th', {}, ''))), el('tbody', {}, ...rows));
}

function detail(j) {
  const d = state.detail?.job === j.job ? state.detail : j, isOver = !!j.ended_ms;
  const acts = isOver
    ? [j.counts.failed ? el('button', { type: 'button', onclick: () => act(j, 'retry') }, `Retry ${count(j.counts.failed)} failed`) : null]
    : [el('button', { type: 'button', onclick: () => act(j, j.state === 'paused' ? 'resume' : 'pause') }, j.state === 'paused' ? 'Resume' : 'Pause'),
      el('button', { type: 'button', class: 'danger', onclick: () => { if (confirm(`Cancel job ${j.job}?`)) act(j, 'cancel'); } }, 'Cancel')];
  return el('div', { class: 'detail' },
    d.spec ? el('div', { class: 'cmd', tabindex: 0 }, d.spec.stages.map((st) => `${st.name}: ${st.argv[1] === '-c' ? st.argv[2] : st.argv.join(' ')}`).join('\n')) : null,
    el('dl', { class: 'facts' }, fact('Owner', d.owner), fact('Tenant', d.tenant), fact('Priority', d.priority), fact('Submitted', clock(d.submitted_ms)),
      fact('Running', d.counts.running), fact('Waiting', d.counts.pending), fact('Tried again', d.accounting?.retries), fact('CPU time', d.accounting ? span(d.accounting.cpu_s * 1000) : ''),
      fact('Wasted', d.accounting?.wasted_cpu_s ? span(d.accounting.wasted_cpu_s * 1000) : ''), fact('Why', d.reason || d.pending)),
    el('div', { class: 'acts' }, ...acts), taskTable(j));
}

async function toggle(id) {
  state.open = state.open === id ? null : id;
  state.tasks = null;
  state.log = null;
  draw();
  if (state.open !== null) { await pullDetail().catch(() => {}); draw(); }
}

function drawJobs() {
  const want = $('filter').value.trim().toLowerCase();
  const seen = new Set(state.jobs.map((j) => j.job));
  const all = [...state.jobs, ...state.older.filter((j) => !seen.has(j.job))];
  const list = all.filter((j) => !want || `${j.job} ${j.name} ${j.state} ${j.owner}`.toLowerCase().includes(want));
  const focused = document.activeElement?.closest?.('.job')?.dataset.id;
  const scroll = document.querySelector('pre.log')?.scrollTop;
  const inLog = document.activeElement?.matches?.('pre.log, .detail *');
  if (inLog && document.getSelection()?.toString()) return;   // somebody is copying from it
  $('job-list').replaceChildren(...(list.length ? list.map((j) => el('li', { class: `job${state.open === j.job ? ' open' : ''}`, 'data-id': j.job },
    el('button', { type: 'button', 'aria-expanded': String(state.open === j.job), onclick: () => toggle(j.job) },
      el('span', { class: 'name', title: j.name }, el('small', {}, j.job), j.name), el('span', { class: 'state', 'data-s': j.state }, j.state),
      progress(j), el('span', { class: 'tail', title: tail(j) }, tail(j))),
    state.open === j.job ? detail(j) : null)) : [el('li', { class: 'empty', 'data-id': '' }, ...(all.length ? ['No job fits.'] :
      ['  No job yet. Try ', el('code', {}, 'seq 100 | griddle map -- sleep 0.{}')]))]));
  if (focused) document.querySelector(`.job[data-id="${CSS.escape(focused)}"] > button`)?.focus({ preventScroll: true });
  const log = document.querySelector('pre.log');
  if (log && scroll !== undefined) log.scrollTop = scroll;
  $('more').hidden = !state.next;
}

function drawReasons() {
  const by = new Map();
  for (const j of state.jobs) if (j.counts.pending && j.pending) by.set(`job ${j.job}: ${j.pending}`, j.counts.pending);
  const n = state.status.tasks.waiting;
  if (n) by.set('no connected worker could run it', n);
  $('pending').hidden = !by.size;
  $('reasons').replaceChildren(...[...by].sort((a, b) => b[1] - a[1]).map(([why, k]) => el('li', {}, el('b', {}, count(k)), el('span', {}, why))));
}

// ---- cluster ----

function slots(w) {
  if (w.slots > 64) {
    const box = el('div', { class: 'slots many' }, el('i', { class: 'on' }));
    box.firstChild.style.width = `${100 * w.running / w.slots}%`;
    return box;
  }
  const off = w.state !== 'up';
  return el('div', { class: 'slots' }, ...Array.from({ length: w.slots }, (_, i) => el('i', { class: i < w.running ? 'on' : off ? 'off' : '' })));
}

function group(list, key) {
  const m = new Map();
  for (const w of list) {
    const k = w[key] || '';
    if (!m.has(k)) m.set(k, []);
    m.get(k).push(w);
  }
  return [...m].sort((a, b) => a[0].localeCompare(b[0]));
}

const sum = (list, f) => list.reduce((n, w) => n + f(w), 0);

function pod(w) {
  const note = w.state !== 'up' ? el('span', { class: 'state', 'data-s': w.state }, w.state) : `${w.running}/${w.slots}${w.queued ? ` +${w.queued}` : ''}`;
  const p = el('div', { class: 'pod' }, el('p', {}, el('span', {}, w.pod || w.name), el('span', {}, note)), slots(w));
  p.onpointermove = (e) => showTip(`${w.name}\n${w.running} running, ${w.queued} queued of ${w.slots} slots\n${w.done} done, ${w.failed} failed\nspeed ${(w.speed_permille / 1000).toFixed(2)}, sandbox ${w.tier}\nmemory ${bytes(w.mem_bytes)}, connected ${span(w.connected_ms)}`, e.clientX, e.clientY);
  p.onpointerleave = hideTip;
  return p;
}

function drawCluster() {
  $('zones').replaceChildren(...(state.nodes.length ? group(state.nodes, 'zone').map(([zone, list]) => el('div', { class: 'zone' },
    el('h3', {}, zone || 'no zone', el('span', {}, `${sum(list, (w) => Math.min(w.running, w.slots))} of ${sum(list, (w) => w.slots)} slots in use`)),
    el('div', { class: 'nodes' }, ...group(list, 'node').map(([node, pods]) => el('div', { class: 'node' },
      el('h4', {}, node || 'no name', el('span', {}, `${pods.length} worker${pods.length === 1 ? '' : 's'}`)), ...pods.sort((a, b) => a.name.localeCompare(b.name)).map(pod))))))
    : [el('p', { class: 'empty' }, 'No worker is connected. ', el('code', {}, 'griddle-worker --coordinator …'), ' starts one.')]));
}

// ---- timeline ----

const colours = new Map();
function colour(key) {
  if (!colours.has(key)) colours.set(key, colours.size % 8);
  return colours.get(key);
}

function drawTimeline() {
  const list = [...state.attempts.values()].map((a) => ({ ...a, color: colour(a.job || a.kind), ok: a.cause === 'done' && !a.exit_code || a.cause === 'cancelled' }));
  timeline($('lanes'), $('lane-note'), list, state.nodes, Date.now() + state.timeSkew, state.spanMs,
    (a) => `${a.name}\n${a.worker}, attempt ${a.attempt}\n${a.end_ms ? `${span(a.end_ms - a.start_ms)}, ${a.cause}${a.exit_code ? `, exit ${a.exit_code}` : ''}` : 'running'}`);
}

function swatch(color, text) {
  const i = el('i');
  i.style.background = color;
  return el('span', {}, i, text);
}

function draw() {
  if (!state.status) return;
  const s = state.status;
  $('where').textContent = `${s.endpoint} · ${s.version} · up ${span(s.uptime_ms)}`;
  document.title = s.tasks.running ? `${s.tasks.running} running · griddle` : 'griddle';
  $('jobs').hidden = !s.jobs;
  drawTiles();
  drawJobs();
  drawReasons();
  drawCluster();
  throughput($('chart'), state.history);
  drawTimeline();
}

// ---- the rest ----

function setTheme(to) {
  document.documentElement.dataset.theme = to;
  localStorage.setItem('griddle-theme', to);
}
function flipTheme() {
  const dark = document.documentElement.dataset.theme ? document.documentElement.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  setTheme(dark ? 'light' : 'dark');
}
const kept = localStorage.getItem('griddle-theme');
if (kept) setTheme(kept);
$('theme').onclick = flipTheme;
$('keys').onclick = () => $('help').showModal();
$('filter').oninput = drawJobs;
$('more').onclick = async () => {
  const page = await get(`/api/v1/jobs?limit=50&newest=true&cursor=${state.next}`);
  state.older.push(...page.jobs.map((j) => prepare(j, Date.now() + state.timeSkew)));
  state.next = page.next;
  drawJobs();
};
$('throughput-legend').append(swatch('var(--done)', 'tasks ended /s'), swatch('var(--fail)', 'of them failed'), swatch('var(--run)', 'running (right)'));
$('cluster-legend').append(swatch('var(--run)', 'running'), swatch('var(--sunk)', 'free'), swatch('var(--warn)', 'draining or quarantined'));
for (const [ms, name] of [[60000, '1 min'], [300000, '5 min'], [900000, '15 min']]) {
  const b = el('button', { type: 'button', 'aria-pressed': String(ms === state.spanMs) }, name);
  b.onclick = () => {
    state.spanMs = ms;
    for (const other of $('spans').children) other.setAttribute('aria-pressed', String(other === b));
    drawTimeline();
  };
  $('spans').append(b);
}

function step(by) {
  const list = [...document.querySelectorAll('.job > button')];
  if (!list.length) return;
  const at = list.indexOf(document.activeElement.closest('.job')?.querySelector('button'));
  list[Math.max(0, Math.min(list.length - 1, at < 0 ? 0 : at + by))].focus();
}
const jumps = { 1: 'throughput', 2: 'jobs', 3: 'cluster', 4: 'timeline' };
addEventListener('keydown', (e) => {
  if (e.ctrlKey || e.metaKey || e.altKey || document.querySelector('dialog[open]')) return;
  if (e.target.matches('input')) { if (e.key === 'Escape') { e.target.value = ''; drawJobs(); e.target.blur(); } return; }
  if (e.key === '/') $('filter').focus();
  else if (e.key === 'j') step(1);
  else if (e.key === 'k') step(-1);
  else if (e.key === 't') flipTheme();
  else if (e.key === '?') $('help').showModal();
  else if (e.key === 'Escape') { state.open = null; draw(); }
  else if (jumps[e.key]) $(jumps[e.key]).scrollIntoView({ behavior: 'smooth' });
  else return;
  e.preventDefault();
});
let resizing;
addEventListener('resize', () => { clearTimeout(resizing); resizing = setTimeout(draw, 120); });
document.addEventListener('visibilitychange', () => { if (!document.hidden) refresh(); });

onTokenWanted((why) => new Promise((done) => {
  $('ask-why').textContent = why;
  $('token').value = '';
  $('ask').onclose = () => done($('token').value || null);
  $('ask').showModal();
}));
refresh();
follow(() => refresh(250), (to) => { setLink(to); if (to === 'live') refresh(); });
