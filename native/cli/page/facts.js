// Facts about the loop, its deadlocks, and the sources of a guest.
const facts = {
  draw(chosen) {
    this.list(chosen);
    this.deadlocks(chosen.deadlocks);
    this.sources(chosen.guest_sources);
    for (const phase of document.querySelectorAll("[data-phase]")) {
      phase.classList.toggle("now", phase.dataset.phase === chosen.phase);
    }
  },

  list(chosen) {
    const of = (now, limit) => `${words.count(now)} of ${words.count(limit)}`;
    const busy = chosen.busy_ns > 0 ? `${chosen.phase} for ${words.span(chosen.busy_ns)}` : chosen.phase;
    const rows = [
      ["Process", chosen.pid],
      ["Loop", chosen.loop],
      ["Service", chosen.service ? words.short(chosen.service) : "-"],
      ["Phase", chosen.draining ? `${busy}, draining` : busy],
      ["Age", words.span(Math.max(0, Date.now() - Date.parse(chosen.started)) * 1e6)],
      ["Tasks", words.count(chosen.total)],
      ["Run queue", words.count(chosen.queue_length)],
      ["Connections", of(chosen.open_connections, chosen.max_connections)],
      ["Accepted", words.count(chosen.connections)],
      ["Turned away", words.count(chosen.turned_away)],
      ["Failed", words.count(chosen.failed)],
      ["Jobs", words.count(chosen.jobs)],
      ["Steps", words.count(chosen.steps)],
      ["Turns", words.count(chosen.waits)],
    ];
    if (!chosen.of_one_moment) rows.push(["Look", "task by task, since the loop is busy"]);
    const list = element("facts").querySelector("dl");
    if (list.children.length !== rows.length) {
      list.replaceChildren(...rows.map(([name]) => {
        const fact = make("div");
        fact.append(make("dt", name), make("dd"));
        return fact;
      }));
    }
    rows.forEach(([, value], i) => setText(list.children[i].lastChild, value));
  },

  deadlocks(circles) {
    const name = (task) => `task ${task.id} (${task.name}${task.spawned_at === "" ? "" : `, spawned at ${task.spawned_at}`})`;
    const texts = circles.map((circle) => [...circle.map(name), `task ${circle[0].id}`].join(" waits for "));
    element("deadlocks").hidden = texts.length === 0;
    const list = element("deadlocks").querySelector("ul");
    if (list.children.length !== texts.length) list.replaceChildren(...texts.map(() => make("li")));
    texts.forEach((text, i) => setText(list.children[i], text));
  },

  sources(sources) {
    element("sources").hidden = sources.length === 0;
    const row = (source) => {
      const row = make("tr");
      for (const text of [source.index, source.kind, source.address ?? "", source.waits_for]) row.append(make("td", text));
      return row;
    };
    element("sources").querySelector("tbody").replaceChildren(...sources.map(row));
  },
};

// Sets a text if it is another one, so that a selection in it is kept.
function setText(item, text) {
  if (item.textContent !== String(text)) item.textContent = text;
}
