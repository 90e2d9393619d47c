// The search runs in a Worker, which browsers refuse to a page that is opened as a file: there it runs in a frame
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(address) {
      super();
      const frame = Object.assign(document.createElement("iframe"), { hidden: true, title: "search" });
      document.documentElement.append(frame);
      this.within = frame.contentWindow;
      this.within.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      const script = Object.assign(frame.contentDocument.createElement("script"), { src: new URL(address, location) });
      this.ready = new Promise((done) => script.addEventListener("load", done));
      frame.contentDocument.documentElement.append(script);
    }

    postMessage(data) {
      this.ready.then(() => this.within.dispatchEvent(new MessageEvent("message", { data })));
    }
  };
}
