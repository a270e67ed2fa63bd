// Lists the sections that hold every word of the query; sections.js beside the page has their text.
if (typeof kdnotesSections !== "undefined") {
  const MOST = 30, BEFORE = 60, SHOWN = 200;
  const form = document.querySelector("form[role=search]"), input = form.elements.q;
  const said = form.querySelector("[role=status]"), list = form.querySelector("ol");
  const plain = text => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
  const sections = kdnotesSections.flatMap(({ page, title, sections }) => sections.map(section => {
    const label = section.title ? title + " › " + section.title : title;
    const href = page + "#" + section.anchor, all = [label, section.text, section.code].join("\n");
    return { ...section, href, label, plain: plain(all), plainLabel: plain(label) };
  }));

  const context = (section, words) => {
    const text = plain(section.text), found = words.map(word => text.indexOf(word));
    const at = Math.min(...found.filter(index => index >= 0));
    if (at === Infinity) {  // in names of the code, or in the title alone
      const holds = name => words.some(word => plain(name).includes(word));
      const names = section.code.split(" ").filter(holds);
      return names.length ? "In the code: " + names.join(", ") : "";
    }
    const from = section.text.lastIndexOf(" ", Math.max(at - BEFORE, 0)) + 1;
    const to = from + SHOWN < section.text.length ? section.text.lastIndexOf(" ", from + SHOWN) : undefined;
    return (from ? "… " : "") + section.text.slice(from, to) + (to ? " …" : "");
  };

  const element = (name, pieces) => {
    const made = document.createElement(name);
    made.append(...pieces);
    return made;
  };

  const marked = (name, text, words) => {
    const escaped = words.map(word => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
    const pieces = text.split(new RegExp("(" + escaped.join("|") + ")", "gi"));
    return element(name, pieces.map((piece, index) => index % 2 ? element("mark", [piece]) : piece));
  };

  const show = () => {
    const words = plain(input.value).split(/\s+/).filter(Boolean);
    const rank = section => words.filter(word => section.plainLabel.includes(word)).length;
    const found = words.length ? sections.filter(({ plain }) => words.every(word => plain.includes(word))) : [];
    found.sort((a, b) => rank(b) - rank(a));
    const count = (found.length || "No") + (found.length === 1 ? " section" : " sections");
    said.textContent = !words.length ? "" : count + (found.length > MOST ? ", the first " + MOST : "");
    list.replaceChildren(...found.slice(0, MOST).map(section => {
      const link = marked("a", section.label, words);
      link.href = section.href;
      return element("li", [link, marked("p", context(section, words), words)]);
    }));
  };

  form.hidden = false;
  input.addEventListener("input", show);
  form.addEventListener("submit", event => {
    event.preventDefault();
    list.querySelector("a")?.focus();
  });
  form.addEventListener("keydown", event => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key], links = [input, ...list.querySelectorAll("a")];
    const next = step && links[links.indexOf(document.activeElement) + step];
    if (!next) return;
    event.preventDefault();
    next.focus();
  });
  addEventListener("pageshow", () => {  // the query of a chapter's page, or what was typed before
    const asked = new URLSearchParams(location.search).get("q");
    input.value ||= asked ?? "";
    if (asked) input.focus();  // the arrow keys lead on from there
    show();
  });
}
