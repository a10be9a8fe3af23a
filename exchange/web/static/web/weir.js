// Small conveniences; every page works without them.
"use strict";

// Times are sent as UTC and shown in the reader's own zone; the title keeps UTC.
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const shortClock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const shortDay = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const longDay = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });

function localTimes(root) {
  const today = new Date().toDateString();
  const year = new Date().getFullYear();
  for (const node of root.querySelectorAll("time[datetime]:not([data-day], [data-utc])")) {
    const at = new Date(node.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    const hour = at.getSeconds() ? clock.format(at) : shortClock.format(at);
    const day = (at.getFullYear() === year ? shortDay : longDay).format(at);
    node.textContent = at.toDateString() === today ? hour : `${day}, ${hour}`;
  }
}

// Lists with data-rows: j and k move, x marks, Enter opens; other keys press the button that names them.
function rowKeys(list) {
  const rows = () => [...list.querySelectorAll("[data-row]")];
  let here = -1;
  function go(to) {
    const all = rows();
    if (!all.length) return;
    here = Math.max(0, Math.min(all.length - 1, to));
    for (const row of all) row.classList.remove("here");
    all[here].classList.add("here");
    const target = all[here].querySelector("a, input");
    if (target) target.focus({ preventScroll: true });
    all[here].scrollIntoView({ block: "nearest" });
  }
  function mark(row) {
    const box = row && row.querySelector("input[type=checkbox]");
    if (box) box.click();
  }
  // One key says something of the row where one stands: its own button is pressed.
  function press(key) {
    const row = /^[a-z]$/.test(key) && rows()[here];
    const button = row && row.querySelector(`[data-row-key="${key}"]`);
    if (button) button.click();
    return Boolean(button);
  }
  list.addEventListener("change", (event) => {
    const row = event.target.closest("[data-row]");
    if (row && event.target.type === "checkbox") row.setAttribute("aria-selected", String(event.target.checked));
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (event.key === "j") go(here + 1);
    else if (event.key === "k") go(here - 1);
    else if (event.key === "x") mark(rows()[here]);
    else if (!press(event.key)) return;
    event.preventDefault();
  });
}

function isTyping(node) {
  return node.matches("textarea, select, input:not([type=checkbox], [type=radio], [type=submit])");
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
  const named = /^[a-z?/]$/.test(event.key) && document.querySelector(`[data-key="${event.key}"]`);
  if (!named) return;
  event.preventDefault();
  if (named.matches("a, [type=radio]")) named.click();
  else named.focus();
  const then = document.getElementById(named.dataset.then || "");
  if (then) {
    markHere();
    then.focus();
  }
});

// A decision by its key is about the row where one stands, unless others are marked.
function markHere() {
  if (document.querySelector("[data-row] input:checked")) return;
  const box = document.querySelector("[data-row].here input[type=checkbox]");
  if (box) box.click();
}

// data-all on a checkbox marks every row of its form.
document.addEventListener("change", (event) => {
  if (!event.target.matches("[data-all]")) return;
  for (const box of event.target.form.querySelectorAll("[data-row] input[type=checkbox]")) {
    if (box.checked !== event.target.checked) box.click();
  }
});

// A file that is dropped on its field's label is chosen; its name and size are said beside it.
document.addEventListener("change", (event) => {
  if (event.target.type !== "file") return;
  const said = document.getElementById(event.target.dataset.says || "");
  const file = event.target.files[0];
  if (said) said.textContent = file ? `${file.name}, ${Math.ceil(file.size / 1024)} KiB` : "";
});

document.addEventListener("DOMContentLoaded", () => {
  localTimes(document);
  document.querySelectorAll("[data-rows]").forEach(rowKeys);
});
document.addEventListener("htmx:afterSwap", (event) => localTimes(event.target));
