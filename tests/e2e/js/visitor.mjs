// Commands of driver.mjs for pages that are not ours to fill: a person visits an address, clicks, types and looks.
//
// Every visit has a browser context of its own, so visitors share no storage and each has its own permissions. Elements
// are named as a screen reader names them (`aria/Join`), so that a test breaks when a person could not find them either.

const PATIENCE_MS = 20_000;

// Runs in the page: no connection it makes finds a way, as behind a firewall that lets only HTTP through.
function withoutMediaPath() {
  const relayOnly = (configuration) => ({ ...configuration, iceTransportPolicy: 'relay', iceServers: [] });
  const Native = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Native {
    constructor(configuration) { super(relayOnly(configuration)); }

    setConfiguration(configuration) { super.setConfiguration(relayOnly(configuration)); }
  };
}

// commands: {visit, click, fill, press, look, depart}; `pages` is the driver's table, `write` sends an event.
export function visitorCommands(browser, pages, write) {
  async function visit({ page: name, url, width = 1280, height = 800, refuseDevices = false, blockMedia = false }) {
    const context = await browser.createBrowserContext();
    if (refuseDevices) await context.overridePermissions(url, []);
    const page = await context.newPage();
    page.on('pageerror', (error) => write({ page: name, event: 'pageerror', args: [String(error)] }));
    await page.setViewport({ width, height });
    if (blockMedia) await page.evaluateOnNewDocument(withoutMediaPath);
    pages.set(name, page);
    await page.goto(url);
  }

  // Like a paste over what was there: React must see the browser change the field, not a script.
  async function fill({ page: name, selector, text }) {
    const field = await find(name, selector).waitHandle();
    await field.focus();
    await field.evaluate((element, pasted) => {
      element.select();
      document.execCommand('insertText', false, pasted);
    }, text);
  }

  const find = (name, selector) => pages.get(name).locator(selector).setTimeout(PATIENCE_MS);

  // The first true value of an async function body that sees `args` by name; the body is asked again until then.
  async function look({ page: name, body, args = {}, ms = PATIENCE_MS }) {
    const end = Date.now() + ms;
    for (;;) {
      const value = await pages.get(name).evaluate((text, given) => {
        const AsyncFunction = (async () => {}).constructor;
        return new AsyncFunction(...Object.keys(given), text)(...Object.values(given));
      }, body, args);
      if (value) return value;
      if (Date.now() > end) {
        const text = await pages.get(name).evaluate(() => document.body.innerText);
        throw new Error(`not seen within ${ms} ms; the page says:\n${text}`);
      }
      await new Promise((resolve) => { setTimeout(resolve, 100); });
    }
  }

  return {
    visit,
    look,
    fill,
    click: ({ page, selector }) => find(page, selector).click(),
    press: ({ page, key }) => pages.get(page).keyboard.press(key),
    depart: async ({ page }) => { await pages.get(page)?.browserContext().close(); pages.delete(page); },
  };
}
