// The stream of events: what is shown is the last look at the chosen loop.
const RETRY = 2000;

const live = {
  source: null,
  timer: 0,
  is_paused: false,
  // The key of the chosen loop, or null for the first one.
  key: null,
  // The last look at the chosen loop, and its number.
  chosen: null,
  look: 0,
  // The milliseconds between two looks.
  every: 0,
  // True if the last look is to be drawn with the next frame.
  is_due: false,

  open() {
    this.close();
    const query = this.key === null ? "" : `?${new URLSearchParams({ loop: this.key })}`;
    const source = new EventSource(`events${query}`);
    source.onmessage = (event) => this.take(JSON.parse(event.data));
    source.onerror = () => {
      this.say("Connection lost, trying again", false);
      // The browser tries again itself, unless the monitor has refused.
      if (source.readyState === EventSource.CLOSED) this.timer = setTimeout(() => this.open(), RETRY);
    };
    this.source = source;
  },

  close() {
    clearTimeout(this.timer);
    this.source?.close();
  },

  choose(key) {
    this.key = key;
    this.chosen = null;
    Object.assign(table.view, { bin: "", name: null, from: 0 });
    picture.followed = null;
    history.replaceState(null, "", `#loop=${key}`);
    this.say("Connecting", false);
    this.set_paused(false);
  },

  set_paused(is_paused) {
    this.is_paused = is_paused;
    element("pause").setAttribute("aria-pressed", String(is_paused));
    setText(element("pause"), is_paused ? "Continue" : "Pause");
    if (is_paused) {
      this.close();
      this.say("Paused", false);
    } else this.open();
  },

  // Takes an event: the loops, and the chosen one.
  take(event) {
    this.list(event);
    const { chosen } = event;
    const failures = event.failures ?? [];
    document.body.classList.toggle("ended", !chosen);
    if (chosen) {
      this.key ??= chosen.key;
      this.message(failures.join("; "));
      this.say("Live", true);
      this.look = event.look;
      this.every = event.every_ms;
      this.chosen = chosen;
      charts.add(chosen, event.at_ms);
      // A page that is slow, or is not visible, draws the newest look alone.
      if (!this.is_due) requestAnimationFrame(() => this.draw());
      this.is_due = true;
    } else if (this.key !== null) {
      const [pid, number] = this.key.split(".");
      this.say("Ended", false);
      this.message(`Process ${pid}, loop ${number}, has ended.${this.chosen === null ? "" : " The page shows its last look."}`);
    } else {
      this.say("Waiting for a loop", false);
      this.message(failures.join("; ") || "No loop is seen. `sinbin serve fib` starts one.");
    }
  },

  // Lists the loops, and keeps one that has ended while it is chosen.
  list({ loops = [], more_loops = 0 }) {
    const text = ({ key, service, tasks, deadlocks }) =>
      `${key.replace(".", ", loop ")}: ${service || "tasks"}, ${words.count(tasks)} tasks${deadlocks > 0 ? ", deadlock" : ""}`;
    const options = loops.map((one) => [one.key, text(one)]);
    if (this.key !== null && !loops.some(({ key }) => key === this.key)) options.push([this.key, `${this.key.replace(".", ", loop ")}: not listed`]);
    if (more_loops > 0) options.push(["", `and ${words.count(more_loops)} more`]);
    const select = element("loops");
    while (select.options.length > options.length) select.lastChild.remove();
    options.forEach(([value, text], i) => {
      const option = select.options[i] ?? select.appendChild(make("option"));
      if (option.value !== value) option.value = value;
      option.disabled = value === "";
      setText(option, text);
    });
    const key = this.key ?? loops[0]?.key ?? "";
    if (document.activeElement !== select && select.value !== key) select.value = key;
  },

  // Draws the last look again, such as with another filter.
  async draw() {
    const { chosen, look } = this;
    this.is_due = false;
    if (chosen === null) return;
    try {
      const part = await table.part(chosen);
      if (part === null || chosen !== this.chosen) return;
      facts.draw(chosen);
      picture.draw(chosen, part);
      table.draw(chosen, part);
      charts.draw(this.every);
      document.body.dataset.look = look;
    } catch (error) {
      this.message(`The tasks are not shown: ${error.message}`);
    }
  },

  say(text, is_live) {
    setText(element("status"), text);
    element("status").classList.toggle("live", is_live);
  },

  message(text) {
    element("message").hidden = text === "";
    setText(element("message"), text);
  },
};
