// Gradio's players have no name for screen readers.
() => {
  const name = () => {
    const speaks = document.querySelector("#speech")?.checkVisibility();
    const read = "your clip with a box about the mouth" + (speaks ? ", and its speech" : "");
    for (const [place, text] of [["#clip video, #camera video", "your clip"], ["#video video", read]])
      for (const video of document.querySelectorAll(place)) if (video.ariaLabel !== text) video.ariaLabel = text;
  };
  new MutationObserver(name).observe(document.body, { childList: true, subtree: true });
  name();
}
