// Elements of the page. The playground and the monitor share this file.
const element = (id) => document.getElementById(id);

// Creates an element with a text and attributes.
function make(tag, text = "", attributes = {}) {
  const made = document.createElement(tag);
  made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}
