// Gradio's players have no name for screen readers.
() => {
  const names = { "#clip video": "your clip", "#video video": "your clip with a box about the mouth, and its speech" };
  const name = () => {
    for (const [place, text] of Object.entries(names))
      for (const video of document.querySelectorAll(place)) if (video.ariaLabel !== text) video.ariaLabel = text;
  };
  new MutationObserver(name).observe(document.body, { childList: true, subtree: true });
  name();
}
