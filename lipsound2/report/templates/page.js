"use strict";
// One player at a time; the video, the lips, the playheads and the attention follow it.
const players = [...document.querySelectorAll("audio")], buttons = [...document.querySelectorAll("[data-player]")];
function show(clip, share) {
  const live = clip.querySelector(".live");
  if (live) {
    const count = +live.dataset.count, columns = +live.dataset.columns, rows = +live.dataset.rows;
    const frame = Math.min(count - 1, Math.floor(share * count));
    const at = (index, of) => of > 1 ? 100 * index / (of - 1) : 0;
    live.style.backgroundPosition = at(frame % columns, columns) + "% " + at(Math.floor(frame / columns), rows) + "%";
  }
  const percent = 100 * Math.min(1, share) + "%";
  clip.querySelectorAll(".playing u, .attention u").forEach(head => head.style.left = percent);
}
for (const player of players) player.addEventListener("play", () => {
  for (const other of players) if (other !== player) other.pause();
});
for (const button of buttons) {
  const player = document.getElementById(button.dataset.player), tell = () => button.setAttribute("aria-pressed", !player.paused);
  button.addEventListener("click", () => player.paused ? player.play() : player.pause());
  for (const event of ["play", "pause", "ended"]) player.addEventListener(event, tell);
}
for (const video of document.querySelectorAll("video")) video.addEventListener("error", () => video.closest("figure").remove());
for (const player of document.querySelectorAll(".clip audio")) {
  const track = player.closest(".track"), clip = player.closest(".clip"), attention = clip.querySelector(".attention");
  const seconds = +clip.dataset.seconds, video = clip.querySelector("video");
  const watch = () => {
    if (!video || !(video.duration > 0)) return;
    const at = Math.min(player.currentTime, Math.max(0, video.duration - .02));
    if (Math.abs(video.currentTime - at) > (player.paused ? .02 : .12)) video.currentTime = at;
    if (player.paused || player.currentTime >= video.duration) video.pause();
    else if (video.paused) video.play().catch(() => {});
  };
  const step = () => {
    show(clip, player.currentTime / seconds);
    watch();
    if (!player.paused) requestAnimationFrame(step);
  };
  const follow = () => {
    clip.querySelectorAll(".playing").forEach(other => other.classList.remove("playing"));
    track.classList.add("playing");
    if (attention) attention.classList.add("follow");
    step();
  };
  player.addEventListener("play", follow);
  player.addEventListener("seeked", follow);
  player.addEventListener("pause", () => { if (track.classList.contains("playing")) watch(); });
  for (const drawn of track.querySelectorAll(".seek")) drawn.addEventListener("click", event => {
    const box = drawn.getBoundingClientRect();
    player.currentTime = seconds * (event.clientX - box.left) / box.width;
    player.play();
  });
}
// Tables: sorted by a button in each heading, downloaded as CSV. A cell's value stands in data-value, or is its text.
const value = cell => cell.dataset.value ?? cell.textContent.trim().replace(/\s+/g, " ");
const heading = cell => cell.dataset.csvTitle ?? value(cell);
function sort(table, column, down) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0], rows = [...body.rows];
  table.order ??= rows;
  const key = row => value(row.cells[column]), number = row => parseFloat(key(row));
  const numeric = heads[column].classList.contains("num");
  const compare = (a, b) => numeric ? number(a) - number(b) : key(a).localeCompare(key(b), undefined, {numeric: true});
  const missing = row => numeric && isNaN(number(row));
  // What has no number stays at the end, whichever way.
  rows.sort((a, b) => missing(a) || missing(b) ? missing(a) - missing(b) : down ? compare(b, a) : compare(a, b));
  place(table, rows);
  heads.forEach((head, index) => {
    if (index === column) head.setAttribute("aria-sort", down ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  });
}
function place(table, rows) {
  table.tBodies[0].append(...rows);
  const led = table.matches("[data-leads]") && table.closest("[data-filter]").querySelector("[data-led]");
  if (!led) return;
  const rank = new Map(rows.map((row, index) => [row.dataset.clip, index]));
  led.append(...[...led.children].sort((a, b) => rank.get(a.dataset.clip) - rank.get(b.dataset.clip)));
}
function csv(table) {
  const escaped = text => {
    // A spreadsheet would take such a text for a formula.
    const plain = /^[=+\-@\t\r]/.test(text) && isNaN(text) ? "'" + text : text;
    return /[",\n\r]/.test(plain) ? '"' + plain.replaceAll('"', '""') + '"' : plain;
  };
  const heads = [...table.tHead.rows[0].cells], wide = heads.map(head => "interval" in head.dataset);
  const lines = [heads.flatMap((head, index) => wide[index] ? ["", " low", " high"].map(end => heading(head) + end) : [heading(head)])];
  for (const row of table.tBodies[0].rows) if (!row.hidden) lines.push([...row.cells].flatMap((cell, index) => {
    const own = value(cell).replace(/^–$/, "");
    return wide[index] ? [own, cell.dataset.low ?? "", cell.dataset.high ?? ""] : [own];
  }));
  return lines.map(line => line.map(escaped).join(",") + "\r\n").join("");
}
for (const table of document.querySelectorAll("table.sortable")) [...table.tHead.rows[0].cells].forEach((head, column) => {
  const button = document.createElement("button");
  button.type = "button";
  button.append(...head.childNodes);
  head.append(button);
  // Numbers begin with the largest.
  button.addEventListener("click", () => {
    const now = head.getAttribute("aria-sort");
    sort(table, column, now ? now === "ascending" : head.classList.contains("num"));
  });
});
for (const table of document.querySelectorAll("table[data-csv]")) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "csv";
  button.textContent = "CSV";
  button.setAttribute("aria-label", "Download as CSV: " + table.dataset.csv);
  button.addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(["\ufeff", csv(table)], {type: "text/csv;charset=utf-8"}));
    link.download = (document.title.split(" · ")[0] + " " + table.dataset.csv).replace(/[^\p{L}\p{N}._-]+/gu, "-") + ".csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  });
  (table.closest(".wide") ?? table).before(button);
}
// Search and filters: what of the items around a bar of tools is shown.
for (const scope of document.querySelectorAll("[data-filter]")) {
  const tools = scope.querySelector(".tools"), items = [...scope.querySelectorAll("[data-item]")];
  const search = tools.querySelector("input"), order = tools.querySelector("[name=sort]"), out = tools.querySelector("output");
  const filters = [...tools.querySelectorAll("select")].filter(select => select !== order);
  const fits = (item, filter) => {
    const has = item.dataset[filter.name];
    if (!filter.value || has === undefined) return true;
    return filter.name === "show" ? has.split(" ").includes(filter.value) : has === filter.value;
  };
  const apply = () => {
    const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const item of items) {
      const text = item.dataset.find ?? [...item.cells].filter(cell => !cell.matches(".num")).map(cell => cell.textContent).join(" ");
      item.hidden = !(wanted.every(word => text.toLowerCase().includes(word)) && filters.every(filter => fits(item, filter)));
    }
    // A card goes with its row in the list.
    const rows = new Map(items.filter(item => item.matches("tr[data-clip]")).map(row => [row.dataset.clip, row]));
    for (const item of items) if (item.matches("article[data-clip]") && rows.has(item.dataset.clip)) item.hidden = rows.get(item.dataset.clip).hidden;
    if (wanted.length) for (const fold of scope.querySelectorAll("details")) fold.open ||= fold.matches(":has([data-item]:not([hidden]))");
    const counted = rows.size ? [...rows.values()] : items;
    out.textContent = counted.filter(item => !item.hidden).length + " of " + counted.length;
  };
  tools.hidden = false;
  search.addEventListener("input", apply);
  for (const filter of filters) filter.addEventListener("change", apply);
  if (order) order.addEventListener("change", () => {
    const table = scope.querySelector("table.sortable"), heads = [...table.tHead.rows[0].cells];
    if (order.value === "") {
      place(table, table.order ?? [...table.tBodies[0].rows]);
      for (const head of heads) head.removeAttribute("aria-sort");
    } else sort(table, +order.value, heads[+order.value].classList.contains("num"));
  });
  apply();
}
// Charts answer the pointer with the numbers under it; at rest they show the last ones.
for (const chart of document.querySelectorAll("[data-chart]")) {
  const data = JSON.parse(chart.dataset.chart), out = chart.querySelector("output");
  const svg = chart.querySelector("svg"), cursor = chart.querySelector(".cursor"), low = Math.min(...data.x), high = Math.max(...data.x);
  const tell = index => {
    const values = Object.values(data.series).map(values => values[index]);
    out.textContent = values.map(value => value === null ? "–" : Math.abs(value) < 1e-3 && value ? value.toExponential(1) : +value.toPrecision(3)).join(" / ") + " at " + data.xName + " " + data.x[index];
  };
  const last = data.x.length - 1;
  tell(last);
  svg.addEventListener("pointermove", event => {
    const box = svg.getBoundingClientRect(), at = low + (high - low) * (event.clientX - box.left) / box.width;
    let index = 0;
    data.x.forEach((x, other) => { if (Math.abs(x - at) < Math.abs(data.x[index] - at)) index = other; });
    const place = high > low ? 1000 * (data.x[index] - low) / (high - low) : 0;
    cursor.setAttribute("d", "M" + place + " 0V300");
    tell(index);
  });
  svg.addEventListener("pointerleave", () => { cursor.setAttribute("d", ""); tell(last); });
}
