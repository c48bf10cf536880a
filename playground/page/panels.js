// The panels beside the picture: the program, the clients, the output, and the visitor's actions.
const panels = {
  // Shows the program of a scenario.
  open(scenario) {
    element("about").textContent = scenario.about;
    element("world").hidden = !scenario.has_clients;
    element("n-label").hidden = !scenario.asks_fib;
    element("code").replaceChildren(...scenario.code.map((line) => this.line(line)));
    element("clients").tBodies[0].replaceChildren();
  },

  line(text) {
    const item = make("li");
    const code = make("code");
    for (const part of text.split(/(\/\/.*$|\.await\b)/)) {
      const kind = part.startsWith("//") ? "comment" : part === ".await" ? "await" : null;
      code.append(kind === null ? part : make("span", part, { class: kind }));
    }
    item.append(make("span", "", { class: "gutter" }), code);
    return item;
  },

  draw(frame, chosen) {
    this.mark(frame, chosen);
    this.clients(frame);
    this.list("output", frame.output);
    this.list("jobs", frame.jobs.map((job) => `job ${job.id}: ${job.text}`));
  },

  // Marks the line where the chosen task is. The number before a line is that of the tasks there.
  mark(frame, chosen) {
    const task = frame.tasks.find((task) => task.id === chosen);
    const lines = element("code").children;
    const counts = new Map();
    for (const { line } of frame.tasks) counts.set(line, (counts.get(line) ?? 0) + 1);
    for (let i = 0; i < lines.length; i++) {
      const is_here = task?.line === i;
      const count = counts.get(i);
      lines[i].classList.toggle("here", is_here);
      if (is_here) lines[i].setAttribute("aria-current", "step");
      else lines[i].removeAttribute("aria-current");
      const text = count === undefined ? "" : count > 3 ? `${count} ●` : "●".repeat(count);
      if (lines[i].firstChild.textContent !== text) lines[i].firstChild.textContent = text;
    }
    element("here").textContent = task === undefined ? "No task is left." : `${picture.followed === null ? "" : "Followed: "}task ${task.id} (${task.name}) ${task.state}.`;
    element("cancel").hidden = task === undefined;
  },

  clients(frame) {
    const rows = element("clients").tBodies[0];
    while (rows.rows.length > frame.clients.length) rows.lastChild.remove();
    for (const [i, client] of frame.clients.entries()) {
      const row = rows.rows[i] ?? rows.appendChild(this.row(client.number));
      row.classList.toggle("gone", client.is_gone);
      const texts = [client.asks, client.state, client.replies, client.longest, client.unread];
      texts.forEach((text, column) => {
        if (row.cells[column + 1].textContent !== text) row.cells[column + 1].textContent = text;
      });
      const [slow, cut, reset] = row.cells[6].children;
      slow.setAttribute("aria-pressed", String(client.is_slow));
      cut.setAttribute("aria-pressed", String(client.is_cut));
      for (const button of [slow, cut, reset]) button.disabled = client.is_gone;
    }
  },

  row(number) {
    const row = make("tr");
    const names = ["Client", "Sends", "State", "Replies", "Longest", "Unread", "Act"];
    for (const name of names) row.append(make("td", "", { "data-name": name }));
    row.cells[0].textContent = number;
    for (const [verb, name] of [["slow", "Slow"], ["cut", "Cut off"], ["reset", "Reset"]]) {
      const button = make("button", name, { type: "button", id: `${verb}-${number}`, "data-deed": `${verb}:${number}`, "aria-label": `${name} client ${number}` });
      row.cells[6].append(button);
    }
    return row;
  },

  actions(actions) {
    element("deeds").hidden = actions.length === 0;
    const words = (action) => {
      const [step, verb, object] = action.split(":");
      return `at step ${step}: ${verb} ${verb === "add" ? "a client" : verb === "cancel" ? `task ${object}` : `client ${object}`}`;
    };
    this.list("actions", actions.map(words));
  },

  list(id, texts) {
    const list = element(id);
    if (list.children.length === texts.length && texts.every((text, i) => list.children[i].textContent === text)) return;
    list.replaceChildren(...texts.map((text) => make("li", text)));
  },

  message(text) {
    element("message").hidden = text === "";
    element("message").textContent = text;
  },
};
