// SPDX-License-Identifier: GPL-2.0-or-later
// The web console's page: noVNC for the screen, xterm.js for the serial port, buttons.
// All addresses are relative: the token is in the page's own.
import RFB from './novnc/core/rfb.js';

const $ = id => document.getElementById(id);
const socket = name => new URL(name, location.href).href.replace(/^http/, 'ws');
const RETRY_MS = 2000;
let rfb, over = false;

function say(text) {
    $('state').textContent = text;
}

function connectScreen() {
    $('screen').replaceChildren();
    rfb = new RFB($('screen'), socket('vnc'), { wsProtocols: ['wirt-vnc'], shared: true });
    rfb.scaleViewport = true;
    rfb.resizeSession = true;
    rfb.showDotCursor = true;
    rfb.addEventListener('connect', () => { say('connected'); document.body.dataset.screen = 'on'; });
    rfb.addEventListener('desktopname', e => {
        $('name').textContent = e.detail.name;
        document.title = e.detail.name + ' - Wirt';
    });
    rfb.addEventListener('disconnect', () => {
        say('not connected');
        document.body.dataset.screen = 'off';
        if (!over)
            setTimeout(connectScreen, RETRY_MS);
    });
}

const term = new Terminal({ convertEol: false, scrollback: 5000 });
const fit = new FitAddon.FitAddon();
let serial;
term.loadAddon(fit);
term.open($('serial'));
term.onData(s => {
    if (serial && serial.readyState === WebSocket.OPEN)
        serial.send(new TextEncoder().encode(s));
});

function connectSerial() {
    serial = new WebSocket(socket('serial'), 'wirt-serial');
    serial.binaryType = 'arraybuffer';
    serial.onopen = () => { term.reset(); document.body.dataset.serial = 'on'; };
    serial.onmessage = e => term.write(new Uint8Array(e.data));
    serial.onclose = () => {
        document.body.dataset.serial = 'off';
        if (!over)
            setTimeout(connectSerial, RETRY_MS);
    };
}

function show(which) {
    for (const name of ['screen', 'serial']) {
        $(name).hidden = name !== which;
        $('show-' + name).setAttribute('aria-pressed', name === which);
    }
    if (which === 'serial') {
        fit.fit();
        term.focus();
    } else {
        rfb.focus();
    }
}

async function press(what) {
    const r = await fetch('do/' + what, { method: 'POST' });
    say(r.ok ? what + ' pressed' : what + ': ' + r.status);
}

$('show-screen').onclick = () => show('screen');
$('show-serial').onclick = () => show('serial');
$('cad').onclick = () => { rfb.sendCtrlAltDel(); rfb.focus(); };
$('power').onclick = () => press('power');
$('reset').onclick = () => press('reset');
$('fullscreen').onclick = () => document.fullscreenElement ? document.exitFullscreen()
                                                           : document.querySelector('main').requestFullscreen();
$('screenshot').onclick = async () => {
    const r = await fetch('screenshot.png');
    if (!r.ok)
        return say('screenshot: ' + r.status);
    const a = document.createElement('a');
    a.href = URL.createObjectURL(await r.blob());
    a.download = $('name').textContent + '.png';
    a.click();
    URL.revokeObjectURL(a.href);
};
addEventListener('resize', () => { if (!$('serial').hidden) fit.fit(); });
addEventListener('pagehide', () => { over = true; });

connectScreen();
connectSerial();
