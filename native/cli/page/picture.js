// The picture: each task is a dot in the run queue or in a bin. Tasks of a large loop are heaps, and those of the chosen
// bin are dots.
const BINS = {
  ready: ["Run queue", "ready: the first one runs next"],
  recv: ["recv", "until bytes come"],
  send: ["send", "until bytes can leave"],
  job: ["job", "until it is computed"],
  time: ["time", "until a deadline"],
  task: ["task", "until another task acts"],
  accept: ["accept", "until a client connects"],
  hangup: ["hangup", "until the peer leaves"],
  wake: ["wake", "until a task wakes it"],
  outside: ["outside", "until another thread acts"],
};
// The bins that are shown even if they are empty.
const MAIN_BINS = ["ready", "recv", "send", "job", "time", "task"];

const picture = {
  // The items, by the ids of tasks or the names of heaps, and the words for each.
  items: new Map(),
  words: new Map(),
  followed: null,
  focused: null,

  build() {
    for (const [name, [title, hint]] of Object.entries(BINS)) {
      const bin = make("section", "", { class: "bin", "data-place": name === "ready" ? "queue" : name, "aria-label": title });
      const heading = make("h2");
      const zoom = make("button", "", { type: "button", class: "zoom", "data-bin": name, "aria-pressed": "false", title: "Show the tasks of this bin alone" });
      zoom.append(make("span", title), make("span", "0", { class: "count" }));
      heading.append(zoom);
      bin.append(heading, make("p", hint, { class: "hint" }), make("ol", "", { "aria-label": title }));
      element(name === "ready" ? "top" : "bins").append(bin);
      element("bin").append(make("option", title, { value: name }));
    }
  },

  // Draws a look: each task as a dot if there are few, otherwise those of the part, and the others as heaps.
  draw(chosen, part) {
    const before = new Map();
    for (const [id, item] of this.items) before.set(id, item.getBoundingClientRect());
    const tasks = this.tasks(chosen, part);
    const heaps = this.heaps(chosen, part);
    element("picture").classList.toggle("crowd", tasks.length > 16);
    element("picture").classList.toggle("dense", tasks.length > 60);
    this.label(chosen);
    this.fill(chosen, tasks, heaps);
    for (const [id, old] of before) glide(this.items.get(id), old);
    arrows.draw(this.items, tasks.filter((task) => task.by !== null).map((task) => [task.id, task.by]));
    if (this.followed !== null) setText(element("who"), this.words.get(this.followed) ?? `Task ${this.followed} is not shown, or has ended.`);
    tooltip.draw();
  },

  tasks(chosen, part) {
    if (chosen.groups !== null) return table.view.bin === "" ? [] : part.tasks.filter((task) => task.bin === table.view.bin);
    const order = new Map(chosen.queue.map((id, i) => [id, i]));
    return [...chosen.tasks].sort((a, b) => (order.get(a.id) ?? 0) - (order.get(b.id) ?? 0));
  },

  heaps(chosen) {
    return (chosen.groups ?? []).filter((group) => group.bin !== table.view.bin);
  },

  // Shows the number of tasks of each bin, and hides the bins that are rarely used while they are empty.
  label(chosen) {
    for (const zoom of document.querySelectorAll(".zoom")) {
      const name = zoom.dataset.bin;
      const bin = zoom.closest(".bin");
      const count = chosen.counts[name] ?? 0;
      setText(zoom.lastChild, words.count(count));
      zoom.setAttribute("aria-pressed", String(table.view.bin === name));
      bin.classList.toggle("faint", table.view.bin !== "" && table.view.bin !== name);
      bin.hidden = count === 0 && !MAIN_BINS.includes(name) && table.view.bin !== name;
    }
  },

  fill(chosen, tasks, heaps) {
    const stuck = new Set(chosen.deadlocks.flat().map((task) => task.id));
    const next = new Map();
    this.words.clear();
    const lists = new Map(Array.from(document.querySelectorAll(".zoom"), (zoom) => [zoom.dataset.bin, zoom.closest(".bin").lastChild]));
    const filled = new Map(Array.from(lists.keys(), (bin) => [bin, { items: 0, tasks: 0 }]));
    const put = (id, bin, item, count) => {
      const at = filled.get(bin);
      const list = lists.get(bin);
      // An item that stays where it is keeps the focus.
      if (list.children[at.items] !== item) list.insertBefore(item, list.children[at.items] ?? null);
      at.items += 1;
      at.tasks += count;
      next.set(id, item);
    };
    for (const heap of heaps) {
      const id = `${heap.bin}: ${heap.name}`;
      put(id, heap.bin, this.heap(id, heap), heap.count);
    }
    for (const task of tasks) put(task.id, task.bin, this.dot(task, stuck.has(task.id)), 1);
    for (const [bin, list] of lists) {
      const { items, tasks } = filled.get(bin);
      while (list.children.length > items) list.lastChild.remove();
      const left = (chosen.counts[bin] ?? 0) - tasks;
      if (left > 0) list.append(make("li", `and ${words.count(left)} more`, { class: "more" }));
    }
    this.items = next;
    this.focusable();
  },

  item(id) {
    const made = make("li");
    made.append(make("button", "", { type: "button", class: "dot", "data-id": id }), make("span", "", { class: "tag", "aria-hidden": "true" }));
    return made;
  },

  dot(task, is_stuck) {
    const item = this.items.get(task.id) ?? this.item(task.id);
    const [dot, tag] = item.children;
    setText(dot, task.id);
    dot.className = `dot age-${words.age(task.since_ns)}`;
    dot.classList.toggle("ran", task.state === "running");
    dot.classList.toggle("stuck", is_stuck);
    dot.classList.toggle("chosen", task.id === this.followed);
    dot.setAttribute("aria-pressed", String(task.id === this.followed));
    setText(tag, words.short(task.name));
    this.say(task.id, dot, words.task(task));
    return item;
  },

  heap(id, heap) {
    const item = this.items.get(id) ?? this.item(id);
    const [dot, tag] = item.children;
    item.className = "heap";
    setText(dot, words.count(heap.count));
    dot.className = `dot group age-${words.age(heap.oldest_ns)}`;
    // The area grows with the logarithm, so that a heap of ten remains visible beside one of ten thousand.
    const size = `${(1.7 + 0.32 * Math.log2(heap.count)).toFixed(1)}rem`;
    if (dot.style.width !== size) dot.style.width = dot.style.height = size;
    dot.dataset.bin = heap.bin;
    dot.dataset.name = heap.name;
    setText(tag, words.short(heap.name));
    this.say(id, dot, words.group(heap));
    return item;
  },

  say(id, dot, text) {
    this.words.set(id, text);
    dot.setAttribute("aria-label", text);
  },

  // One dot is reached by Tab, the others by arrow keys.
  focusable() {
    const first = this.items.has(this.focused) ? this.focused : this.items.has(this.followed) ? this.followed : this.items.keys().next().value;
    for (const [id, item] of this.items) item.firstChild.tabIndex = id === first ? 0 : -1;
    if (this.focused === null) return;
    const dot = this.items.get(this.focused)?.firstChild;
    if (dot !== undefined && document.activeElement !== dot) dot.focus({ preventScroll: true });
  },

  connect() {
    const frame = element("picture");
    const of = (event) => event.target.closest?.(".dot") ?? null;
    frame.addEventListener("mouseover", (event) => tooltip.show(of(event)));
    frame.addEventListener("mouseleave", () => tooltip.show(null));
    document.addEventListener("focusin", (event) => {
      const dot = frame.contains(event.target) ? of(event) : null;
      this.focused = dot?.dataset.id ?? null;
      tooltip.show(dot);
    });
    frame.addEventListener("keydown", stepAmongDots);
    frame.addEventListener("click", (event) => {
      const zoom = event.target.closest(".zoom");
      const dot = of(event);
      if (zoom !== null) table.zoom(table.view.bin === zoom.dataset.bin ? "" : zoom.dataset.bin);
      else if (dot?.dataset.bin !== undefined) table.zoom(dot.dataset.bin, dot.dataset.name);
      else if (dot !== null) {
        this.followed = this.followed === dot.dataset.id ? null : dot.dataset.id;
        live.draw();
      }
    });
  },
};

// The words for the dot that the visitor points at or has focused, beside it.
const tooltip = {
  dot: null,

  show(dot) {
    this.dot = dot;
    this.draw();
  },

  draw() {
    const tip = element("tooltip");
    const text = this.dot?.isConnected ? picture.words.get(this.dot.dataset.id) : undefined;
    tip.hidden = text === undefined;
    if (tip.hidden) return;
    setText(tip, text);
    const at = this.dot.getBoundingClientRect();
    const left = Math.max(4, Math.min(at.left, innerWidth - tip.offsetWidth - 8));
    const is_below = at.bottom + tip.offsetHeight + 10 < innerHeight;
    tip.style.left = `${left}px`;
    tip.style.top = `${is_below ? at.bottom + 6 : at.top - tip.offsetHeight - 6}px`;
  },
};
