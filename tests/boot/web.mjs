// SPDX-License-Identifier: GPL-2.0-or-later
// web.mjs PLAYWRIGHT CHROMIUM URL FOLDER: a browser at the web console.  Each step that holds prints
// a line; the first that does not ends with status 1.
import { createRequire } from 'node:module';
import http from 'node:http';
import fs from 'node:fs';

const [playwright, chromium, url, folder] = process.argv.slice(2);
const { chromium: browsers } = createRequire(import.meta.url)(playwright);
const PATIENCE = Number(process.env.WIRT_TEST_PATIENCE || 1) * 60000;

function step(name, ok) {
    console.log((ok ? 'ok ' : 'FAILED ') + name);
    if (!ok)
        process.exit(1);
}

const browser = await browsers.launch({ executablePath: chromium, args: ['--no-sandbox', '--disable-gpu'] });
const context = await browser.newContext({ acceptDownloads: true });
context.setDefaultTimeout(PATIENCE);
const page = await context.newPage();
const problems = [];
page.on('pageerror', e => problems.push(String(e)));
page.on('console', m => { if (m.type() === 'error') problems.push(m.text()); });

await page.goto(url);
await page.waitForSelector('body[data-screen=on]');
await page.waitForSelector('body[data-serial=on]');
step('screen and serial console connect', true);
step('the title is the name', (await page.title()) === 'webtest - Wirt');

const colours = () => page.evaluate(() => {
    const c = document.querySelector('#screen canvas');
    const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
    const seen = new Set();
    for (let i = 0; i < d.length; i += 4)
        seen.add(d[i] << 16 | d[i + 1] << 8 | d[i + 2]);
    return seen.size;
});
await page.waitForFunction(() => {
    const c = document.querySelector('#screen canvas');
    return c && c.width >= 640;
});
for (let i = 0; i < 100 && await colours() < 2; i++)
    await page.waitForTimeout(300);
step('the screen shows something', await colours() >= 2);

// A cursor that blinks between the two pictures is one more try.
const same = place => page.evaluate(async place => {
    const shot = await createImageBitmap(await (await fetch('screenshot.png')).blob());
    const c = document.querySelector(place + ' canvas'), o = new OffscreenCanvas(shot.width, shot.height).getContext('2d');
    o.drawImage(shot, 0, 0);
    if (c.width !== shot.width || c.height !== shot.height)
        return false;
    const a = c.getContext('2d').getImageData(0, 0, c.width, c.height).data, b = o.getImageData(0, 0, c.width, c.height).data;
    return a.every((v, i) => v === b[i]);
}, place);
const becomesSame = async place => {
    for (let i = 0; i < 50; i++) {
        if (await same(place))
            return true;
        await page.waitForTimeout(100);
    }
    return false;
};
step('the screen is, pixel by pixel, the screenshot', await becomesSame('#screen'));

// noVNC once more for each encoding, with no other to choose from.
for (const [name, code] of [['raw', 0], ['tight', 7], ['zrle', 16]]) {
    await page.evaluate(async ([name, code]) => {
        const { default: RFB } = await import(new URL('novnc/core/rfb.js', location.href));
        class Only extends RFB {
            _sendEncodings() { RFB.messages.clientEncodings(this._sock, [code, -223, -224]); }
            _handleRect() { window.seen.add(this._FBU.encoding); return super._handleRect(); }
        }
        const place = document.createElement('div');
        place.id = 'only-' + name;
        document.body.append(place);
        window.seen = new Set();
        window.only = new Only(place, new URL('vnc', location.href).href.replace(/^http/, 'ws'), { wsProtocols: ['wirt-vnc'] });
        await new Promise(done => window.only.addEventListener('connect', done));
    }, [name, code]);
    step('noVNC at ' + name + ' shows the screenshot', await becomesSame('#only-' + name));
    const seen = await page.evaluate(() => { window.only.disconnect(); return [...window.seen].filter(e => e >= 0); });
    step('and had nothing else: ' + seen, seen.length === 1 && seen[0] === code);
    await page.evaluate(name => document.querySelector('#only-' + name).remove(), name);
}

await page.click('#show-serial');
const text = () => page.evaluate(() => document.querySelector('#serial .xterm-rows').textContent);
const until = async (re) => {
    for (const end = Date.now() + PATIENCE; Date.now() < end; await page.waitForTimeout(200))
        if (re.test(await text()))
            return true;
    console.log(await text());
    return false;
};
step('the serial console shows the boot', await until(/Linux \S+ on Wirt/));
await page.keyboard.type('echo $((6 * 7))-from-the-shell\n');
step('the shell answers what is typed', await until(/42-from-the-shell/));

await page.click('#show-screen');
await page.click('#screen canvas');
// As hands do it: Playwright's type() presses no Shift.
for (const c of 'echo typed-at-the-screen >/dev/ttyS0') {
    const shifted = /[A-Z>]/.test(c);
    if (shifted)
        await page.keyboard.down('Shift');
    await page.keyboard.press(c === '>' ? 'Period' : c === ' ' ? 'Space' : /[a-zA-Z]/.test(c) ? 'Key' + c.toUpperCase() : c,
                              { delay: 20 });
    if (shifted)
        await page.keyboard.up('Shift');
}
await page.keyboard.press('Enter');
await page.click('#show-serial');
step('keys reach the keyboard', await until(/typed-at-the-screen/));

const [download] = await Promise.all([page.waitForEvent('download'), page.click('#screenshot')]);
await download.saveAs(folder + '/browser.png');
step('a screenshot is saved', fs.statSync(folder + '/browser.png').size > 100 &&
                              download.suggestedFilename() === 'webtest.png');
await page.click('#fullscreen');
step('full screen', await page.waitForFunction(() => document.fullscreenElement !== null) !== null);
await page.evaluate(() => document.exitFullscreen());
step('no errors in the page: ' + problems.join('; '), problems.length === 0);

// Others.
const wrong = url.replace(/[0-9a-zA-Z]{32}/, '0'.repeat(32));
step('a wrong token is refused', (await (await context.newPage()).goto(wrong)).status() === 403);
const server = http.createServer((q, r) => { r.setHeader('content-type', 'text/html'); r.end('<p>another origin'); });
await new Promise(done => server.listen(0, '127.0.0.1', done));
const foreign = await context.newPage();
await foreign.goto('http://127.0.0.1:' + server.address().port + '/');
const tried = await foreign.evaluate(async url => {
    const ws = name => new Promise(done => {
        const s = new WebSocket(url.replace('http', 'ws') + name, 'wirt-' + name);
        s.onopen = () => done('open');
        s.onerror = () => done('refused');
    });
    const load = (what, o) => fetch(url + what, o).then(r => 'loaded ' + r.status, () => 'refused');
    const frame = document.createElement('iframe');
    frame.src = url;
    document.body.append(frame);
    await new Promise(done => { frame.onload = done; setTimeout(done, 5000); });
    let inside = 'refused';
    try { if (frame.contentDocument) inside = frame.contentDocument.title === 'Wirt' ? 'loaded' : 'refused'; } catch (e) { }
    return [await ws('vnc'), await ws('serial'), await load('screenshot.png'), await load('do/reset', { method: 'POST' }), inside];
}, url);
step('another origin gets nothing: ' + tried, tried.every(t => t === 'refused'));
const named = await context.request.get(url, { headers: { host: 'evil.example:' + new URL(url).port } });
step('another host name is refused', named.status() === 403);
server.close();

// The reset button: the guest boots again.
await page.bringToFront();
await page.click('#show-serial');
await page.evaluate(() => { document.querySelector('#serial .xterm-rows').textContent; });
await page.keyboard.type('clear; echo gone-$((1 + 1))\n');
step('before the reset', await until(/gone-2/));
await page.click('#reset');
step('the guest boots again', await until(/Linux \S+ on Wirt/) );
await browser.close();
console.log('all steps hold');
