(function () {
"use strict";
var data = JSON.parse(document.getElementById("data").textContent);
var labels = data.labels;
var lang = document.documentElement.lang;
var dark = window.matchMedia("(prefers-color-scheme: dark)");
var charts = [];

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
}

function size(bytes) {
  var units = ["B", "kB", "MB", "GB", "TB", "PB"], value = bytes, unit = 0;
  while (Math.abs(value) >= 1000 && unit < units.length - 1) { value /= 1000; unit += 1; }
  return (unit && value < 100 ? value.toFixed(1).replace(/\.0$/, "") : Math.round(value)) + " " + units[unit];
}

function count(value) { return value == null ? "" : value.toLocaleString(lang); }
function orDash(text) { return function (u, value) { return value == null ? "–" : text(value); }; }

function clock(value) {
  return value == null ? "–" : new Date(value * 1000).toLocaleString(lang, { dateStyle: "short", timeStyle: "medium" });
}

// "14:05", and the day where it changes.
function ticks(u, values, axis, space, step) {
  var before = null, last = null;
  return values.map(function (value) {
    var date = new Date(value * 1000), day = date.toLocaleDateString(lang, { month: "numeric", day: "numeric" });
    var parts = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
    if (step < 60) { parts.second = "2-digit"; }
    var text = step >= 86400 ? day : date.toLocaleTimeString(lang, parts);
    if (step < 86400 && before !== null && before !== day) { text += "\n" + day; }
    var again = text === last;
    before = day;
    last = text;
    return again ? "" : text;
  });
}

function axis(more) {
  var line = { stroke: colour("grid"), width: 1 };
  return Object.assign({ stroke: colour("soft"), grid: line, ticks: line, font: "12px system-ui, sans-serif" }, more);
}

function draw(id, options, values) {
  var place = document.getElementById(id);
  if (!place) { return; }
  place.parentNode.hidden = false;
  options.width = Math.max(240, place.clientWidth);
  options.height = 220;
  place.textContent = "";
  charts.push({ place: place, chart: new uPlot(options, values, place) });
}

function line(id, label, values, text, space) {
  draw(id, {
    scales: { x: { time: true }, y: { range: function (u, low, high) { return [0, high > 0 ? high * 1.05 : 1]; } } },
    axes: [axis({ values: ticks, space: 70 }), axis({ values: function (u, marks) { return marks.map(text); }, size: space })],
    series: [
      { label: labels.time, value: orDash(clock) },
      { label: label, stroke: colour("accent"), width: 2, value: orDash(text), paths: uPlot.paths.stepped({ align: 1 }), points: { show: false } }
    ]
  }, [data.over_time[0], values]);
}

function whole(mark) { return mark % 1 === 0 ? count(mark) : ""; }

function bars() {
  var names = data.seconds[0], counts = data.seconds[1];
  var places = names.map(function (name, number) { return number; });
  var narrow = document.getElementById("plot-seconds");
  var room = narrow ? narrow.clientWidth : 0, every = room < 480 ? 3 : room < 760 ? 2 : 1;
  draw("plot-seconds", {
    scales: { x: { time: false, range: [-0.6, names.length - 0.4] }, y: { range: function (u, low, high) { return [0, high > 0 ? high * 1.05 : 1]; } } },
    axes: [
      axis({ splits: places, values: function (u, marks) { return marks.map(function (mark) { return mark % every ? "" : names[mark] || ""; }); }, grid: { show: false }, space: 10 }),
      axis({ values: function (u, marks) { return marks.map(whole); }, size: 48 })
    ],
    series: [
      { label: labels.seconds, value: orDash(function (value) { return names[value] || ""; }) },
      { label: labels.repositories, stroke: colour("accent"), fill: colour("accent"), value: orDash(count), paths: uPlot.paths.bars({ size: [0.75, 60] }), points: { show: false } }
    ]
  }, [places, counts]);
}

function drawAll() {
  charts.forEach(function (item) { item.chart.destroy(); });
  charts = [];
  if (!document.getElementById("plot-sent")) { return; }
  line("plot-sent", labels.sent, data.over_time[1], size, 66);
  line("plot-done", labels.done, data.over_time[2], whole, 48);
  bars();
}

var table = document.getElementById("table"), body = table.tBodies[0];
var rows = Array.prototype.slice.call(body.rows);
var find = document.getElementById("find"), state = document.getElementById("state"), sort = document.getElementById("sort");
var shown = document.getElementById("shown"), heads = Array.prototype.slice.call(table.tHead.rows[0].cells);
var numeric = [0, 3, 4, 5, 6, 7], order = { column: 0, up: true };

function filter() {
  var text = find.value.toLowerCase(), wanted = state.value, left = 0;
  rows.forEach(function (row) {
    var fits = (!wanted || row.dataset.state === wanted) && (!text || row.cells[2].textContent.toLowerCase().indexOf(text) >= 0);
    row.hidden = !fits;
    if (fits) { left += 1; }
  });
  shown.textContent = count(left) + " / " + count(rows.length);
  document.getElementById("nothing").hidden = left > 0;
}

function key(row, column) {
  var cell = row.cells[column];
  if (numeric.indexOf(column) >= 0) { return Number(cell.dataset.v || cell.textContent); }
  return cell.textContent.toLowerCase();
}

function arrange(column, up) {
  order = { column: column, up: up };
  var keyed = rows.map(function (row, place) { return [key(row, column), place, row]; });
  keyed.sort(function (a, b) {
    var way = a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0;
    return (up ? way : -way) || a[1] - b[1];
  });
  var piece = document.createDocumentFragment();
  keyed.forEach(function (item) { piece.appendChild(item[2]); });
  body.appendChild(piece);
  heads.forEach(function (head, number) {
    if (number === column) { head.setAttribute("aria-sort", up ? "ascending" : "descending"); } else { head.removeAttribute("aria-sort"); }
  });
  sort.value = String(column);
}

heads.slice(0, 8).forEach(function (head, column) {
  var button = document.createElement("button");
  button.type = "button";
  button.textContent = head.textContent;
  head.textContent = "";
  head.appendChild(button);
  button.addEventListener("click", function () {
    var first = column < 3;
    arrange(column, order.column === column ? !order.up : first);
  });
});
sort.addEventListener("change", function () { var column = Number(sort.value); arrange(column, column < 3); });
find.addEventListener("input", filter);
state.addEventListener("change", filter);
document.querySelector(".tools").addEventListener("submit", function (event) { event.preventDefault(); });
document.querySelector(".tools").hidden = rows.length < 2;
heads[0].setAttribute("aria-sort", "ascending");
filter();

function openTarget() {
  var found = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
  if (found && found.tagName === "DETAILS") { found.open = true; found.scrollIntoView(); }
}
window.addEventListener("hashchange", openTarget);
openTarget();

var closed = [];
window.addEventListener("beforeprint", function () {
  closed = Array.prototype.slice.call(document.querySelectorAll("details:not([open])"));
  closed.forEach(function (item) { item.open = true; });
});
window.addEventListener("afterprint", function () { closed.forEach(function (item) { item.open = false; }); });
window.matchMedia("print").addEventListener("change", drawAll);
dark.addEventListener("change", drawAll);
var width = 0, timer = null;
window.addEventListener("resize", function () {
  if (window.innerWidth === width) { return; }
  width = window.innerWidth;
  clearTimeout(timer);
  timer = setTimeout(drawAll, 120);
});
drawAll();
})();
