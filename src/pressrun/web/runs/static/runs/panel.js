// The run panel: another preset shows its own price and its own values in the empty fields.
"use strict";
(() => {
  for (const panel of document.querySelectorAll(".run-panel")) {
    panel.addEventListener("change", (event) => {
      if (event.target.name !== "preset") return;
      for (const place of panel.querySelectorAll("[data-tag]")) place.textContent = event.target.dataset[place.dataset.tag];
      for (const field of panel.querySelectorAll("input[placeholder]")) field.placeholder = field.dataset[event.target.value] ?? field.placeholder;
    });
  }
})();
