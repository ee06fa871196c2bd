// Shows answers as they come. Without it the form asks for the whole page, which says the same.
// Texts reach the page by textContent only, so that what a list or a visitor wrote is never markup.
"use strict";

(() => {
  const form = document.getElementById("form");
  const input = document.getElementById("q");
  const status = document.getElementById("status");
  const result = document.getElementById("result");
  let running = null;

  function make(name, className, text) {
    const element = document.createElement(name);
    if (className) element.className = className;
    if (text !== undefined) element.textContent = text;
    return element;
  }

  function makeCard(card) {
    const item = make("li", `card ${card.kind}`);
    item.dataset.rank = card.rank;
    item.append(make("h3", "", card.zone), make("p", "word", card.word));
    if (!card.lines.length) return item;
    const list = make("dl");
    for (const [label, text, url] of card.lines) {
      const line = make("div"), value = make("dd");
      if (/^https?:\/\//.test(url)) {
        const link = make("a", "", text);
        link.href = url;
        link.rel = "noreferrer noopener";
        value.append(link);
      } else {
        value.textContent = text;
      }
      line.append(make("dt", "", label), value);
      list.append(line);
    }
    item.append(list);
    return item;
  }

  // Cards stand by rank, and in one rank by arrival.
  function place(list, item) {
    const after = [...list.children].find((other) => Number(other.dataset.rank) > Number(item.dataset.rank));
    list.insertBefore(item, after || null);
  }

  async function* lines(response) {
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const parts = (rest + value).split("\n");
      rest = parts.pop();
      yield* parts.filter(Boolean).map((part) => JSON.parse(part));
    }
  }

  function begin() {
    const title = make("h2", "", "Asking the lists");
    const asked = make("ul", "cards");
    const others = make("details"), summary = make("summary"), skipped = make("ul", "cards");
    others.append(summary, skipped);
    others.hidden = true;
    result.replaceChildren(title, asked, others);
    return { title, asked, others, summary, skipped };
  }

  async function lookUp(subject, signal) {
    status.className = "";
    status.textContent = `Looking up ${subject}.`;
    const response = await fetch(`answers/${encodeURIComponent(subject)}`, { signal });
    if (!response.ok) {
      const said = await response.json().catch(() => ({}));
      throw new Error(said.error || `the server answered ${response.status}`);
    }
    const parts = begin();
    let come = 0, whole = false;
    for await (const line of lines(response)) {
      if (line.card) {
        come += 1;
        if (line.card.kind === "skipped") {
          parts.skipped.append(makeCard(line.card));
          parts.summary.textContent = `Not asked: ${parts.skipped.children.length}`;
          parts.others.hidden = false;
        } else {
          place(parts.asked, makeCard(line.card));
        }
        status.textContent = `${come} of ${line.of} lists are done.`;
      } else {
        whole = true;
        parts.title.textContent = line.headline;
        status.className = "said"; // the title says it to who sees; this, to who listens
        status.textContent = line.headline;
        document.title = line.headline;
      }
    }
    if (!whole) throw new Error("the answer broke off: look it up again");
    result.dataset.done = subject;
  }

  function fail(error) {
    if (error.name === "AbortError") return;
    const text = `Not looked up: ${error.message}`;
    result.replaceChildren(make("p", "problem", text));
    status.className = "said";
    status.textContent = text;
    document.title = "Not looked up";
  }

  function start(subject) {
    if (running) running.abort();
    running = new AbortController();
    delete result.dataset.done;
    lookUp(subject, running.signal).catch(fail);
  }

  form.addEventListener("submit", (event) => {
    const subject = input.value.trim();
    if (!subject || !window.TextDecoderStream) return;
    event.preventDefault();
    history.pushState(null, "", `?q=${encodeURIComponent(subject)}`);
    start(subject);
  });

  window.addEventListener("popstate", () => {
    const subject = new URLSearchParams(location.search).get("q") || "";
    input.value = subject;
    if (subject) start(subject);
    else { result.replaceChildren(); status.textContent = ""; }
  });
})();
