// Sends an image to every model, and shows what each says, why, and what it resembles.
(function () {
  "use strict";
  var settings = JSON.parse(document.getElementById("settings").textContent);
  var byId = function (id) { return document.getElementById(id); };
  var current = null; // the file that is shown
  var turn = 0; // of the image; answers to an earlier one are passed over
  var stop = new AbortController();

  function percent(share) {
    var points = 100 * share;
    return points >= 99.95 ? "> 99.9 %" : points < 0.05 ? "< 0.1 %" : points.toFixed(1) + " %";
  }

  function element(name, words, className) {
    var made = document.createElement(name);
    if (words) { made.textContent = words; }
    if (className) { made.className = className; }
    return made;
  }

  function complain(words) {
    byId("problem").firstElementChild.textContent = words;
    byId("problem").hidden = !words;
    if (words) { byId("status").textContent = ""; }
  }

  // Asks the server; what goes wrong becomes an error with words for people.
  function ask(path, parameters, file, signal) {
    var headers = { "content-type": "application/octet-stream" };
    var token = byId("token");
    if (token && token.value) { headers.authorization = "Bearer " + token.value; }
    return fetch(path + "?" + new URLSearchParams(parameters), { method: "POST", body: file, headers: headers, signal: signal })
      .catch(function (error) {
        throw error.name === "AbortError" ? error : new Error("The server cannot be reached. Is it still running?");
      })
      .then(function (response) {
        return response.json().catch(function () { return {}; }).then(function (said) {
          if (response.ok) { return said; }
          var words = {
            no_token: "The token is missing or wrong.",
            overload: "The server has much to do just now. Try again in a few seconds.",
            unreadable: "This image is damaged or incomplete, so it cannot be read.",
            wrong_type: "This is not an image that can be read here.",
            empty: "This file is empty.",
            slow_body: "Sending the image took too long.",
            too_many_bytes: "This file is too large: at most " + size(settings.maxBytes) + " are accepted.",
            too_many_pixels: "This image has too many pixels."
          }[said.reason];
          var detail = String(said.message || "the server answered with status " + response.status).replace(/^image: /, file.name + ": ");
          throw new Error((words ? words + " (" + detail + ")" : detail));
        });
      });
  }

  function size(bytes) {
    return bytes < 1048576 ? bytes.toLocaleString("en") + " bytes" : (bytes / 1048576).toPrecision(3).replace(/\.0+$/, "") + " MiB";
  }

  function forget() {
    document.querySelectorAll(".card").forEach(function (card) {
      card.classList.remove("waiting");
      card.querySelector(".empty").hidden = false;
      [".bars", ".hint", ".heat", ".likeness"].forEach(function (part) { card.querySelector(part).hidden = true; });
    });
    byId("agreement").hidden = true;
  }

  function show(file) {
    var preview = byId("preview");
    if (preview.src) { URL.revokeObjectURL(preview.src); }
    preview.onerror = function () { preview.hidden = true; };
    preview.onload = function () { preview.hidden = false; };
    preview.alt = "The chosen image, " + file.name;
    preview.src = URL.createObjectURL(file);
    byId("drop-words").textContent = file.name;
  }

  function take(files) {
    var file = files && files[0];
    if (!file) { return; }
    stop.abort();
    stop = new AbortController();
    turn += 1;
    current = file;
    complain("");
    forget();
    if (file.size > settings.maxBytes) {
      byId("preview").hidden = true;
      byId("drop-words").textContent = file.name;
      complain("This file is too large: it has " + size(file.size) + ", at most " + size(settings.maxBytes) + " are accepted.");
      return;
    }
    show(file);
    classify(file, turn, files.length);
  }

  function classify(file, own, given) {
    byId("status").textContent = "Classifying " + file.name + " ...";
    var cards = Array.prototype.slice.call(document.querySelectorAll(".card"));
    cards.forEach(function (card) { card.classList.add("waiting"); });
    var asked = cards.map(function (card) {
      return ask("predict", { top: settings.top, model: card.dataset.model }, file, stop.signal).then(function (said) {
        if (own === turn) { fill(card, said.images[0].classes, file, own); }
        return { model: card.dataset.model, best: said.images[0].classes[0] };
      });
    });
    Promise.all(asked).then(function (all) {
      if (own !== turn) { return; }
      var words = all.map(function (one) { return one.model + ": " + one.best.name + ", " + percent(one.best.probability); });
      byId("status").textContent = (given > 1 ? "The first of " + given + " images. " : "") + words.join("; ");
      if (all.length > 1) { agree(all); }
    }).catch(function (error) {
      if (own !== turn || error.name === "AbortError") { return; }
      forget();
      byId("preview").hidden = true;
      complain(error.message);
    });
  }

  function agree(all) {
    var names = all.map(function (one) { return one.best.name; });
    var same = names.every(function (name) { return name === names[0]; });
    byId("agreement").textContent = same ? (all.length === 2 ? "Both models say " : "All " + all.length + " models say ") + names[0] + "." : "The models disagree: " + all.map(function (one) { return one.best.name + " (" + one.model + ")"; }).join(", ") + ".";
    byId("agreement").hidden = false;
  }

  function fill(card, classes, file, own) {
    var list = card.querySelector(".bars");
    list.replaceChildren.apply(list, classes.map(function (found) {
      var item = element("li"), button = element("button");
      button.type = "button";
      button.setAttribute("aria-pressed", "false");
      button.dataset.label = found.id;
      var bar = element("span", "", "bar"), fillOf = element("span", "", "fill");
      fillOf.style.setProperty("--p", 100 * found.probability + "%");
      bar.append(fillOf);
      bar.setAttribute("aria-hidden", "true");
      button.append(element("span", found.name, "class"), element("span", percent(found.probability), "share"), bar);
      button.addEventListener("click", function () { explain(card, button, found, file, own); });
      item.append(button);
      return item;
    }));
    card.classList.remove("waiting");
    card.querySelector(".empty").hidden = true;
    list.hidden = false;
    card.querySelector(".hint").hidden = false;
    if (settings.models.some(function (model) { return model.name === card.dataset.model && model.similar; })) {
      resemble(card, file, own);
    }
  }

  function explain(card, button, found, file, own) {
    var figure = card.querySelector(".heat");
    card.querySelectorAll(".bars button").forEach(function (other) { other.setAttribute("aria-pressed", String(other === button)); });
    byId("status").textContent = "Covering parts of the image, to see what " + found.name + " stands on ...";
    figure.setAttribute("aria-busy", "true");
    ask("explain", { label: found.id, model: card.dataset.model }, file, stop.signal).then(function (said) {
      if (own !== turn || button.getAttribute("aria-pressed") !== "true") { return null; }
      return draw(figure, said, found.name);
    }).then(function (words) {
      if (words) { byId("status").textContent = words; }
    }).catch(function (error) {
      if (own === turn && error.name !== "AbortError") {
        button.setAttribute("aria-pressed", "false");
        complain(error.message);
      }
    });
  }

  // Lays the map over what the network saw: warm where the class needs what is there, cool where it is better without.
  function draw(figure, said, name) {
    var cells = said.drops.length, most = 0, where = [0, 0];
    said.drops.forEach(function (row, y) {
      row.forEach(function (drop, x) {
        if (Math.abs(drop) > Math.abs(most)) { most = drop; where = [y, x]; }
      });
    });
    var strongest = Math.abs(most), small = document.createElement("canvas");
    small.width = small.height = cells;
    var pixels = small.getContext("2d").createImageData(cells, cells);
    said.drops.forEach(function (row, y) {
      row.forEach(function (drop, x) {
        var strength = strongest < 0.001 ? 0 : Math.abs(drop) / strongest;
        pixels.data.set((drop > 0 ? [230, 90, 20] : [40, 110, 230]).concat(Math.round(190 * strength)), 4 * (y * cells + x));
      });
    });
    small.getContext("2d").putImageData(pixels, 0, 0);
    return new Promise(function (resolve) {
      var seen = new Image();
      seen.onload = function () {
        var canvas = figure.querySelector("canvas"), pen = canvas.getContext("2d");
        pen.imageSmoothingEnabled = seen.width > 100;
        pen.filter = "grayscale(70%)";
        pen.drawImage(seen, 0, 0, canvas.width, canvas.height);
        pen.filter = "none";
        pen.imageSmoothingEnabled = true;
        pen.imageSmoothingQuality = "high";
        pen.drawImage(small, 0, 0, canvas.width, canvas.height);
        var place = [["at the top left", "at the top", "at the top right"], ["on the left", "in the middle", "on the right"], ["at the bottom left", "at the bottom", "at the bottom right"]][Math.floor(3 * where[0] / cells)][Math.floor(3 * where[1] / cells)];
        var words = strongest < 0.001
          ? "No single part matters to " + name + ": whatever is covered, its probability stays."
          : "Covered " + place + ", the image is " + (100 * strongest).toFixed(1) + " points " + (most > 0 ? "less" : "more") + " likely " + name + ".";
        canvas.setAttribute("aria-label", "Heat map of what the network saw. " + words);
        figure.querySelector("figcaption").textContent = words + " Orange: the class needs what is there; blue: it is likelier without.";
        figure.hidden = false;
        figure.removeAttribute("aria-busy");
        resolve(words);
      };
      seen.src = said.image;
    });
  }

  function resemble(card, file, own) {
    ask("similar", { model: card.dataset.model }, file, stop.signal).then(function (said) {
      if (own !== turn) { return; }
      var list = card.querySelector(".thumbs");
      list.replaceChildren.apply(list, said.images.map(function (one) {
        var item = element("li"), picture = element("img");
        picture.src = one.thumbnail;
        picture.alt = "";
        picture.title = one.key;
        item.append(picture, element("span", one.label), element("span", one.likeness.toFixed(2), "hush"));
        return item;
      }));
      card.querySelector(".likeness").hidden = !said.images.length;
    }).catch(function () { card.querySelector(".likeness").hidden = true; });
  }

  ["file", "camera"].forEach(function (id) {
    byId(id).addEventListener("change", function (event) {
      take(event.target.files);
      event.target.value = ""; // so that the same file can be chosen again
    });
  });
  document.addEventListener("paste", function (event) {
    if (event.clipboardData && event.clipboardData.files.length) { take(event.clipboardData.files); }
  });
  document.addEventListener("dragover", function (event) { event.preventDefault(); byId("drop").classList.add("over"); });
  document.addEventListener("dragleave", function (event) {
    if (!event.relatedTarget) { byId("drop").classList.remove("over"); }
  });
  document.addEventListener("drop", function (event) {
    event.preventDefault();
    byId("drop").classList.remove("over");
    take(event.dataTransfer.files);
  });
  if (byId("token")) {
    byId("token").value = sessionStorage.getItem("bakeoff-token") || "";
    byId("token").addEventListener("change", function () { sessionStorage.setItem("bakeoff-token", byId("token").value); });
    byId("token-form").addEventListener("submit", function (event) {
      event.preventDefault();
      if (current) { take([current]); }
    });
  }
})();
