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
  document.querySelector("form[role=search]").hidden = false;
}
