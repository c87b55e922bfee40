// Draws the charts with the scripts inlined above, lights one candidate at a time, opens all details for paper.
(function () {
  "use strict";
  var config = JSON.parse(document.getElementById("chart-config").textContent);
  var views = {};

  function say(box, error) {
    box.textContent = "This chart could not be drawn: " + error;
  }

  document.querySelectorAll("[data-chart]").forEach(function (box) {
    var spec = JSON.parse(document.getElementById(box.dataset.chart).textContent);
    var narrow = box.clientWidth < 420;
    var fitted = narrow ? Object.assign({}, config, { axis: Object.assign({}, config.axis, { labelLimit: 96 }) }) : config;
    vegaEmbed(box, spec, { mode: "vega-lite", renderer: "svg", actions: false, config: fitted, tooltip: { theme: "custom" } })
      .then(function (result) {
        views[box.dataset.chart] = result.view;
        box.dataset.drawn = "yes";
      })
      .catch(function (error) { say(box, error); });
  });

  document.querySelectorAll("[data-key]").forEach(function (key) {
    var charts = key.dataset.key.split(" ");
    key.addEventListener("click", function (event) {
      var button = event.target.closest("button");
      if (!button) { return; }
      var wanted = button.getAttribute("aria-pressed") === "true" ? "" : button.dataset.candidate;
      key.querySelectorAll("button").forEach(function (other) {
        other.setAttribute("aria-pressed", String(other.dataset.candidate === wanted));
      });
      charts.forEach(function (name) {
        if (views[name]) { views[name].signal("highlight", wanted).run(); }
      });
    });
  });

  var opened = [];
  window.addEventListener("beforeprint", function () {
    opened = Array.prototype.filter.call(document.querySelectorAll("details[data-print]"), function (box) { return !box.open; });
    opened.forEach(function (box) { box.open = true; });
  });
  window.addEventListener("afterprint", function () {
    opened.forEach(function (box) { box.open = false; });
  });
})();
