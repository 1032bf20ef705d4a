"use strict";
// One player at a time; the lips, the playheads and the attention follow it.
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
for (const player of document.querySelectorAll(".clip audio")) {
  const track = player.closest(".track"), clip = player.closest(".clip"), attention = clip.querySelector(".attention");
  const seconds = +clip.dataset.seconds;
  const step = () => {
    show(clip, player.currentTime / seconds);
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
  const mel = track.querySelector(".mel");
  if (mel) mel.addEventListener("click", event => {
    const box = mel.getBoundingClientRect();
    player.currentTime = seconds * (event.clientX - box.left) / box.width;
    player.play();
  });
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
