// Follows a run while it moves: bars and log from the stream of events, charts from the server, which draws them.
"use strict";
(() => {
  const page = document.getElementById("run-page");
  if (!page?.dataset.events || !window.EventSource) return;
  const CHARTS_EVERY = 2000;  // ms: a chart that is drawn anew more often cannot be read
  const LINES = 400;
  const started = Number(page.dataset.started);
  const cursor = document.getElementById("moving").dataset.cursor;
  const log = page.querySelector(".log code");

  const clock = (at) => {
    if (typeof at !== "number") return "     ";
    const seconds = Math.max(0, Math.floor(at - started));
    return `${String(Math.floor(seconds / 60)).padStart(2, "0")}:${String(seconds % 60).padStart(2, "0")}`;
  };
  const say = ({ seed, text, at }) => {
    log.querySelector(".none")?.remove();
    const box = log.parentElement;
    const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
    for (const words of String(text).split("\n").filter((line) => line.trim())) {
      const line = document.createElement("span");
      if (words.toLowerCase().includes("warning")) line.className = "warn";
      line.textContent = `${clock(at)}  seed ${seed}  ${words}`;
      log.append(line, "\n");
    }
    while (log.childNodes.length > 2 * LINES) log.firstChild.remove();
    if (atEnd) box.scrollTop = box.scrollHeight;
  };
  const move = ({ seed, label, done, total }) => {
    const item = page.querySelector(`.seeds li[data-seed="${Number(seed)}"]`);
    if (!item) return;
    if (total) item.querySelector("progress").value = Math.min(100, Math.round(100 * done / total));
    item.querySelector(".note").textContent = [label, total ? `${done.toLocaleString("en-GB")} of ${total.toLocaleString("en-GB")}` : done].filter((part) => part !== "").join(" ");
  };

  // What the server draws
  let waiting = null, last = 0;
  const fetched = async (address) => new DOMParser().parseFromString(await (await fetch(address)).text(), "text/html");
  const draw = async () => {
    last = Date.now();
    try {
      const open = [...page.querySelectorAll("#moving details")].map((each) => each.open);
      const fresh = (await fetched("?part=live")).getElementById("moving");
      if (!fresh) return;
      document.getElementById("moving").replaceWith(fresh);
      page.querySelectorAll("#moving details").forEach((each, number) => { each.open = open[number] ?? each.open; });
    } catch { /* the next event tries again */ }
  };
  const drawSoon = () => {
    waiting ??= setTimeout(async () => { await draw(); waiting = null; }, Math.max(0, last + CHARTS_EVERY - Date.now()));
  };
  const finish = () => {
    source.close();
    clearTimeout(waiting);
    location.reload();  // the whole page is another one now: verdicts, figure, files
  };

  const source = new EventSource(`${page.dataset.events}?after=${encodeURIComponent(cursor)}`);
  const on = (kind, act) => source.addEventListener(kind, (event) => act(JSON.parse(event.data)));
  on("log", say);
  on("output", say);
  on("progress", move);
  on("evidence", drawSoon);
  on("state", drawSoon);
  on("over", finish);
  on("problem", finish);
  log.parentElement.scrollTop = log.parentElement.scrollHeight;
})();
