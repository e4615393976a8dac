// What a page does beyond HTML: theme, maths, keys, copying, instant search. Every page reads and works without it.
"use strict";
(() => {
  const root = document.documentElement;
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  const remember = (key, value) => { try { localStorage.setItem(key, value); } catch { /* no storage */ } };
  const recall = (key) => { try { return localStorage.getItem(key); } catch { return null; } };

  // Theme
  for (const button of all("button.theme")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
      root.dataset.theme = dark ? "light" : "dark";
      remember("theme", root.dataset.theme);
    });
  }

  // Maths. KaTeX is fetched on pages that have some. "$5 and $6" is no formula: a closing $ follows no space and precedes no digit.
  const MATHS = /\$\$([^$]+?)\$\$|\\\[([\s\S]+?)\\\]|\\\(([\s\S]+?)\\\)|\$(?!\s)((?:\\.|[^$\\])+?)(?<!\s)\$(?!\d)/g;
  const texts = (element) => {
    const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT, {
      acceptNode: (node) => node.parentElement.closest(".katex, pre, code, script") ? NodeFilter.FILTER_REJECT : NodeFilter.FILTER_ACCEPT,
    });
    const found = [];
    while (walker.nextNode()) if (walker.currentNode.data.search(MATHS) !== -1) found.push(walker.currentNode);
    return found;
  };
  const typeset = (node) => {
    const parts = document.createDocumentFragment();
    let from = 0;
    for (const match of node.data.matchAll(MATHS)) {
      const [whole, block, bracket, paren, inline] = match;
      const span = document.createElement("span");
      try {
        katex.render(block ?? bracket ?? paren ?? inline, span, {
          displayMode: false, trust: false, maxExpand: 200, maxSize: 20, strict: "ignore", throwOnError: true,
        });
      } catch {
        continue;  // stays as it was written
      }
      parts.append(node.data.slice(from, match.index), span);
      from = match.index + whole.length;
    }
    parts.append(node.data.slice(from));
    node.replaceWith(parts);
  };
  let loading;
  const loadKatex = () => loading ??= new Promise((done, fail) => {
    const { katexStyle, katexScript } = document.body.dataset;
    const style = Object.assign(document.createElement("link"), { rel: "stylesheet", href: katexStyle });
    const script = Object.assign(document.createElement("script"), { src: katexScript, onload: done, onerror: fail });
    document.head.append(style, script);
  });
  const maths = async (within) => {
    const nodes = [...(within.matches?.(".tex") ? [within] : []), ...all(".tex", within)].flatMap(texts);
    if (!nodes.length) return;
    try { await loadKatex(); } catch { return; }
    for (const node of nodes) if (node.isConnected) typeset(node);
  };
  maths(document);

  // Copying
  const copy = async (source) => {
    try {
      await navigator.clipboard.writeText(source.textContent);
    } catch {  // no clipboard outside https and localhost: select it, and try the old way
      getSelection().selectAllChildren(source);
      if (!document.execCommand("copy")) return "Selected: press Ctrl+C";
    }
    return "Copied";
  };
  for (const button of all("button[data-copy]")) {
    button.hidden = false;
    const label = button.textContent;
    button.addEventListener("click", async () => {
      button.textContent = await copy(document.getElementById(button.dataset.copy));
      setTimeout(() => { button.textContent = label; }, 2500);
    });
  }

  // Keys. They can be switched off, as single letters get in the way of speech input.
  const help = document.getElementById("keys");
  const enabled = document.getElementById("keys-on");
  if (help && enabled) {
    enabled.checked = recall("keys") !== "off";
    enabled.addEventListener("change", () => remember("keys", enabled.checked ? "on" : "off"));
    for (const button of all("button.keys")) {
      button.hidden = false;
      button.addEventListener("click", () => help.showModal());
    }
  }
  const step = (by) => {
    const cards = all(".card, .rows > li");
    const links = cards.map((card) => card.querySelector("a"));
    const now = cards.findIndex((card) => card.contains(document.activeElement));
    // Without a card in focus, begin with the first one that is still in view.
    const next = now === -1 ? Math.max(0, cards.findIndex((card) => card.getBoundingClientRect().bottom > 0)) : now + by;
    const link = links[Math.min(Math.max(next, 0), links.length - 1)];
    link?.focus({ focusVisible: true });
    link?.closest(".card, li").scrollIntoView({ block: "nearest" });
  };
  const actions = {
    "/": () => { const box = all("input[type=search]").find((input) => input.offsetParent); box?.focus(); box?.select(); },
    j: () => step(1),
    k: () => step(-1),
    "?": () => help?.showModal(),
  };
  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]");
    if (typing && event.key === "Escape") typing.blur();
    if (typing || event.ctrlKey || event.metaKey || event.altKey || help?.open || !(event.key in actions) || recall("keys") === "off") return;
    event.preventDefault();
    actions[event.key]();
  });

  // Where the ways to everything need more room than there is, the one to this page is in sight.
  const ways = document.querySelector(".masthead nav ul"), here = ways?.querySelector("[aria-current]");
  if (here) ways.scrollLeft = here.offsetLeft - (ways.clientWidth - here.offsetWidth) / 2;

  // htmx: what it brought in gets its maths; a longer list moves the focus to its first new card; counts are read out.
  let before = 0;
  document.addEventListener("htmx:beforeRequest", () => { before = all(".card").length; });
  document.addEventListener("htmx:load", (event) => maths(event.detail.elt));
  document.addEventListener("htmx:afterSettle", (event) => {
    if (event.detail.requestConfig?.elt?.matches?.(".show-more")) all(".card")[before]?.querySelector("a")?.focus();
    const said = document.getElementById("said"), count = document.querySelector("#results .found");
    if (said && count) said.textContent = count.textContent;
  });
  for (const failure of ["htmx:sendError", "htmx:timeout", "htmx:responseError"]) {
    document.addEventListener(failure, () => {
      const said = document.getElementById("said");
      if (said) said.textContent = "No answer from the server. Press Enter to try again.";
    });
  }
})();
