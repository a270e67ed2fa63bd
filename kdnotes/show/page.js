{
  const contents = document.querySelector(".contents"), wide = matchMedia("(min-width: 1100px)");
  const unfold = () => { contents.open = wide.matches; };
  if (contents) {
    wide.addEventListener("change", unfold);
    unfold();
  }
  const reveal = () => {  // what a link leads to may be folded away
    const target = document.getElementById(location.hash.slice(1));
    let folded;
    while ((folded = target?.closest("details:not([open])"))) folded.open = true;
    target?.scrollIntoView();
  };
  addEventListener("hashchange", reveal);
  reveal();
  const boxes = document.querySelectorAll("main > *, .appendix > *, .output_subarea, .formula, .scroll, pre");
  const reach = () => {  // by keys what scrolls sideways; not every browser sees to it
    for (const box of boxes) {
      if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    }
  };
  addEventListener("resize", reach);
  document.addEventListener("toggle", reach, true);
  reach();
  document.querySelector("form[role=search]").hidden = false;
}
