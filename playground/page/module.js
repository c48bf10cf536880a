// The module: programs on sinbin's core. Text goes in and out as UTF-8.
const core = {
  exports: null,

  async load(base64) {
    const bytes = Uint8Array.from(atob(base64.replace(/\s/g, "")), (c) => c.charCodeAt(0));
    this.exports = new WebAssembly.Instance(await compile(bytes), {}).exports;
  },

  // Calls a function with a text, and returns its answer: an object with one key, "error" for a message.
  call(name, text, ...numbers) {
    const bytes = new TextEncoder().encode(text);
    const at = this.exports.input(bytes.length);
    if (at === 0 && bytes.length > 0) {
      return { error: `The link is not valid: it has ${bytes.length} bytes.` };
    }
    new Uint8Array(this.exports.memory.buffer, at, bytes.length).set(bytes);
    const answer = this.exports[name](...numbers);
    const json = new Uint8Array(this.exports.memory.buffer, answer, this.exports.output_len());
    return JSON.parse(new TextDecoder().decode(json));
  },
};

// Compiles at once, so that the page is complete when it has loaded. Some browsers refuse that for large modules.
function compile(bytes) {
  try {
    return new WebAssembly.Module(bytes);
  } catch {
    return WebAssembly.compile(bytes);
  }
}
