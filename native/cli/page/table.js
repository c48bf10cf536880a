// The table of tasks: filtered, sorted, and in parts. The monitor filters and sorts if it has not sent all tasks.
const PART = 100;
const COLUMNS = [
  ["id", "Task"],
  ["state", "State"],
  ["since_ns", "Since"],
  ["waits_for", "Waits for"],
  ["name", "Name"],
  ["spawned_at", "Spawned at"],
  ["parent", "Parent"],
];

const table = {
  view: { bin: "", name: null, text: "", sort: "since_ns", order: "descending", from: 0 },
  // The number of the last request to the monitor. Answers to earlier ones are dropped.
  asked: 0,

  build() {
    const head = element("tasks").querySelector("thead tr");
    for (const [name, title] of COLUMNS) {
      const cell = make("th", "", { scope: "col" });
      if (name === "parent") cell.textContent = title;
      else cell.append(make("button", title, { type: "button", "data-sort": name }));
      head.append(cell);
    }
    head.addEventListener("click", (event) => {
      const name = event.target.dataset.sort;
      if (name === undefined) return;
      const is_same = this.view.sort === name;
      // The longest time comes first, and texts begin with the first one.
      const first = name === "since_ns" ? "descending" : "ascending";
      const other = first === "ascending" ? "descending" : "ascending";
      this.show({ sort: name, order: is_same && this.view.order === first ? other : first, from: 0 });
    });
    element("filter").addEventListener("input", (event) => this.show({ text: event.target.value.trim(), from: 0 }));
    element("bin").addEventListener("change", (event) => this.zoom(event.target.value));
    element("all").addEventListener("click", () => {
      element("filter").value = "";
      this.show({ text: "", bin: "", name: null, from: 0 });
      element("filter").focus();
    });
    element("before").addEventListener("click", () => this.show({ from: Math.max(0, this.view.from - PART) }));
    element("after").addEventListener("click", () => this.show({ from: this.view.from + PART }));
  },

  zoom(bin, name = null) {
    this.show({ bin, name, from: 0 });
  },

  show(change) {
    Object.assign(this.view, change);
    live.draw();
  },

  // Returns the part of the tasks that the view wants: the number of those that match, and some of them.
  async part(chosen) {
    if (chosen.groups === null) return this.own(chosen.tasks);
    const { bin, name, text, sort, order, from } = this.view;
    const query = new URLSearchParams({ loop: chosen.key, text, sort, order, from, count: PART });
    if (bin !== "") query.set("bin", bin);
    if (name !== null) query.set("name", name);
    const asked = ++this.asked;
    const answer = await fetch(`tasks?${query}`);
    if (asked !== this.asked) return null;
    if (!answer.ok) throw new Error((await answer.text()).trim());
    return answer.json();
  },

  own(all) {
    const { bin, name, text, sort, order } = this.view;
    const wanted = text.toLowerCase();
    const texts = (task) => [task.id, task.state, task.waits_for, task.name, task.spawned_at ?? ""];
    const matches = (task) =>
      (bin === "" || task.bin === bin) && (name === null || task.name === name) && texts(task).some((text) => text.toLowerCase().includes(wanted));
    const found = all.filter(matches);
    const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
    // The tasks come in the order of their ids.
    if (sort !== "id") found.sort((a, b) => compare(a[sort] ?? "", b[sort] ?? ""));
    if (order === "descending") found.reverse();
    const from = Math.min(this.view.from, Math.floor(Math.max(0, found.length - 1) / PART) * PART);
    return { matching: found.length, from, tasks: found.slice(from, from + PART) };
  },

  draw(chosen, part) {
    this.view.from = part.from;
    const { bin, name, text, sort, order } = this.view;
    for (const button of document.querySelectorAll("[data-sort]")) {
      const cell = button.parentElement;
      if (button.dataset.sort === sort) cell.setAttribute("aria-sort", order);
      else cell.removeAttribute("aria-sort");
    }
    element("bin").value = bin;
    element("all").hidden = bin === "" && name === null && text === "";
    const only = name === null ? "" : ` with the name ${words.short(name)}`;
    setText(element("found"), `${words.count(part.matching)} of ${words.count(chosen.total)} tasks${only}`);
    this.rows(chosen, part.tasks);
    const end = part.from + part.tasks.length;
    element("pager").hidden = part.matching <= PART;
    setText(element("part"), `${words.count(part.from + 1)} to ${words.count(end)}`);
    element("before").disabled = part.from === 0;
    element("after").disabled = end >= part.matching;
  },

  rows(chosen, tasks) {
    const body = element("tasks").querySelector("tbody");
    const stuck = new Set(chosen.deadlocks.flat().map((task) => task.id));
    while (body.rows.length > tasks.length) body.lastChild.remove();
    tasks.forEach((task, i) => {
      const row = body.rows[i] ?? body.appendChild(this.row());
      row.dataset.id = task.id;
      row.dataset.bin = task.bin;
      row.classList.toggle("chosen", task.id === picture.followed);
      row.classList.toggle("stuck", stuck.has(task.id));
      COLUMNS.forEach(([name], column) => {
        const value = name === "since_ns" ? words.span(task.since_ns) : (task[name] ?? "");
        setText(row.cells[column], value);
      });
    });
  },

  row() {
    const row = make("tr");
    for (const [, title] of COLUMNS) row.append(make("td", "", { "data-name": title }));
    return row;
  },
};
