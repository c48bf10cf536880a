// Words for numbers. All texts of tasks come from the monitor, and are set as text, never as HTML.
const words = {
  count(number) {
    return number.toLocaleString("en", { maximumFractionDigits: number < 10 ? 1 : 0 });
  },

  // A span of nanoseconds in the unit that fits, as `sinbin ps` prints it.
  span(nanos) {
    const seconds = Math.floor(nanos / 1e9);
    if (seconds >= 86400) return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h`;
    if (seconds >= 3600) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
    if (seconds >= 60) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
    if (seconds >= 10) return `${seconds} s`;
    if (seconds >= 1) return `${(Math.floor(nanos / 1e8) / 10).toFixed(1)} s`;
    if (nanos >= 1e6) return `${Math.floor(nanos / 1e6)} ms`;
    return `${Math.floor(nanos / 1e3)} µs`;
  },

  bytes(count) {
    for (const unit of ["B", "KiB", "MiB", "GiB"]) {
      if (count < 1000) return `${this.count(count)} ${unit}`;
      count /= 1024;
    }
    return `${this.count(count)} TiB`;
  },

  // The last two parts of a path of a type or function.
  short(name) {
    return name.split("<")[0].split("::").slice(-2).join("::") || name;
  },

  // The class of colour of a wait.
  age(nanos) {
    return [1e7, 1e8, 1e9, 1e10].filter((limit) => nanos >= limit).length;
  },

  task(task) {
    const what = { ready: "is in the run queue", running: "runs", waiting: `waits for ${task.waits_for || "something"}` }[task.state] ?? task.state;
    const place = task.spawned_at === null ? "" : `, spawned at ${task.spawned_at}`;
    const peer = task.serves?.address ? `, serves ${task.serves.address}` : "";
    return `task ${task.id} (${task.name || "without a name"}${peer}${place}) ${what}, since ${this.span(task.since_ns)}`;
  },

  group(group) {
    return `${this.count(group.count)} ${group.count === 1 ? "task" : "tasks"} in ${group.bin}: ${group.name || "without a name"}; the oldest since ${this.span(group.oldest_ns)}`;
  },
};
