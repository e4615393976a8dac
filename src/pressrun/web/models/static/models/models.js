// Side by side: a slider beside the number, and both answers as they come. Without this script the form gives the whole page.
"use strict";
(() => {
  const form = document.getElementById("asking");
  if (!form) return;
  const [slider, strength, vector, halt, problem] = ["slider", "strength", "vector", "halt", "problem"].map((id) => document.getElementById(id));
  const sides = { plain: document.getElementById("plain"), steered: document.getElementById("steered") };
  let asking = null;

  slider.hidden = false;
  slider.addEventListener("input", () => { strength.value = slider.value; });
  strength.addEventListener("input", () => { slider.value = strength.value; });
  vector.addEventListener("change", () => {
    const usual = vector.selectedOptions[0].dataset.strength;
    if (usual !== undefined) strength.value = slider.value = usual;
  });
  if (!halt) return;

  const say = (sentence) => {
    problem.hidden = !sentence;
    problem.firstElementChild.textContent = sentence;
  };
  const busy = (side) => {
    for (const [name, place] of Object.entries(sides)) place.setAttribute("aria-busy", String(name === side));
  };
  const hear = (line) => {
    const told = JSON.parse(line);
    if (told.problem) return say(told.problem);
    busy(told.side);
    sides[told.side].textContent += told.text;
  };
  const read = async (response) => {
    let rest = "";
    for (const reader = response.body.pipeThrough(new TextDecoderStream()).getReader(); ;) {
      const { done, value } = await reader.read();
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      lines.forEach(hear);
    }
  };
  const ask = async (signal) => {
    const response = await fetch(form.dataset.stream, { method: "POST", body: new FormData(form), headers: { Accept: "application/json" }, signal });
    if (response.ok) return read(response);
    const told = await response.json().catch(() => ({}));
    say(told.error ?? "The site gave no answer.");
  };

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    asking?.abort();
    const mine = (asking = new AbortController());
    say("");
    for (const place of Object.values(sides)) place.textContent = "";
    halt.hidden = false;
    busy("plain");
    try {
      await ask(mine.signal);
    } catch (error) {
      if (error.name !== "AbortError") say("The connection broke before the answers ended.");
    }
    if (asking !== mine) return;
    halt.hidden = true;
    busy("");
  });
  halt.addEventListener("click", () => asking?.abort());
})();
