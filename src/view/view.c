/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * wirt-view: a window on a machine, as a program of its own, so that neither SDL nor a desktop's
 * libraries are in the machine's process.  It speaks VNC through libvncclient on the unix socket
 * that each named machine has; `wirt view NAME` starts it.
 *
 * Keys go as scan codes (QEMU's extended key events), so the guest's keyboard layout counts and
 * not the host's.  Ctrl-Alt-F: full screen and back.
 */
#include "view/scancodes.h"

#include <SDL.h>
#include <errno.h>
#include <rfb/rfbclient.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WAIT_US = 10000, RESIZE_MS = 300, DUMP_S = 20 };

struct view {
    rfbClient *vnc;
    SDL_Window *window;
    SDL_Renderer *renderer;
    SDL_Texture *texture;
    bool changed; /* the texture is newer than the window */
    bool full;
    int buttons;      /* RFC 6143's mask */
    Uint32 wish_at;   /* when to tell the machine the window's size; 0 = no need */
    const char *dump; /* write a picture there, and end */
    bool whole;       /* a whole picture has come */
    SDL_Rect dirty;   /* for the texture */
};

static char view_tag; /* its address is the key of our data in the client */

static struct view *of(rfbClient *c)
{
    return rfbClientGetClientData(c, &view_tag);
}

/* ----------------------------------------------------------------- picture -- */

static rfbBool on_size(rfbClient *c)
{
    struct view *v = of(c);
    free(c->frameBuffer);
    c->frameBuffer = calloc((size_t)c->width * (size_t)c->height, 4);
    v->whole = false;
    if (!c->frameBuffer || v->dump)
        return c->frameBuffer != NULL;
    if (v->texture)
        SDL_DestroyTexture(v->texture);
    v->texture = SDL_CreateTexture(v->renderer, SDL_PIXELFORMAT_RGB888, SDL_TEXTUREACCESS_STREAMING,
                                   c->width, c->height);
    if (!v->full)
        SDL_SetWindowSize(v->window, c->width, c->height);
    SDL_RenderSetLogicalSize(v->renderer, c->width, c->height);
    return v->texture != NULL;
}

static void on_update(rfbClient *c, int x, int y, int w, int h)
{
    struct view *v = of(c);
    SDL_Rect r = {x, y, w, h};
    if (x == 0 && y == 0 && w == c->width && h == c->height)
        v->whole = true;
    if (v->dirty.w)
        SDL_UnionRect(&v->dirty, &r, &v->dirty);
    else
        v->dirty = r;
    if (v->dirty.w == c->width && v->dirty.h == c->height)
        v->whole = true;
}

static void on_updated(rfbClient *c)
{
    struct view *v = of(c);
    size_t at = ((size_t)v->dirty.y * (size_t)c->width + (size_t)v->dirty.x) * 4;
    if (v->dump || !v->dirty.w)
        return;
    SDL_UpdateTexture(v->texture, &v->dirty, c->frameBuffer + at, c->width * 4);
    v->dirty = (SDL_Rect){0};
    v->changed = true;
}

static void draw(struct view *v)
{
    if (!v->changed)
        return;
    v->changed = false;
    SDL_RenderClear(v->renderer);
    SDL_RenderCopy(v->renderer, v->texture, NULL, NULL);
    SDL_RenderPresent(v->renderer);
}

static int write_dump(struct view *v)
{
    rfbClient *c = v->vnc;
    FILE *f = fopen(v->dump, "wbe");
    bool ok = f && fprintf(f, "P6\n%d %d\n255\n", c->width, c->height) > 0;
    for (long i = 0; ok && i < (long)c->width * c->height; i++) {
        uint32_t p = ((uint32_t *)c->frameBuffer)[i];
        uint8_t rgb[3] = {(uint8_t)(p >> 16), (uint8_t)(p >> 8), (uint8_t)p};
        ok = fwrite(rgb, 3, 1, f) == 1;
    }
    if (f)
        ok = !fclose(f) && ok;
    if (!ok)
        fprintf(stderr, "wirt-view: %s: %s\n", v->dump, strerror(errno));
    return ok ? 0 : 2;
}

/* ------------------------------------------------------------------- input -- */

static void on_key(struct view *v, const SDL_KeyboardEvent *k)
{
    bool down = k->type == SDL_KEYDOWN;
    unsigned xt = xt_of_scancode(k->keysym.scancode);
    if (down && !k->repeat && k->keysym.sym == SDLK_f && (k->keysym.mod & KMOD_CTRL) &&
        (k->keysym.mod & KMOD_ALT)) {
        v->full = !v->full;
        SDL_SetWindowFullscreen(v->window, v->full ? SDL_WINDOW_FULLSCREEN_DESKTOP : 0);
        return;
    }
    if (xt)
        SendExtendedKeyEvent(v->vnc, 0, xt, down);
}

/* Away from the window, what is held would stay held. */
static void release_keys(struct view *v)
{
    const Uint8 *held = SDL_GetKeyboardState(NULL);
    for (int s = 0; s < SDL_NUM_SCANCODES; s++)
        if (held[s] && xt_of_scancode((SDL_Scancode)s))
            SendExtendedKeyEvent(v->vnc, 0, xt_of_scancode((SDL_Scancode)s), FALSE);
}

static void on_button(struct view *v, const SDL_MouseButtonEvent *b)
{
    int bit = b->button == SDL_BUTTON_LEFT     ? rfbButton1Mask
              : b->button == SDL_BUTTON_MIDDLE ? rfbButton2Mask
              : b->button == SDL_BUTTON_RIGHT  ? rfbButton3Mask
                                               : 0;
    v->buttons = b->state == SDL_PRESSED ? v->buttons | bit : v->buttons & ~bit;
    SendPointerEvent(v->vnc, b->x, b->y, v->buttons);
}

static void on_wheel(struct view *v, const SDL_MouseWheelEvent *w)
{
    int x, y, bit = w->y > 0 ? rfbButton4Mask : rfbButton5Mask;
    float lx, ly;
    SDL_GetMouseState(&x, &y);
    SDL_RenderWindowToLogical(v->renderer, x, y, &lx, &ly);
    for (int n = abs(w->y); n > 0; n--) {
        SendPointerEvent(v->vnc, (int)lx, (int)ly, v->buttons | bit);
        SendPointerEvent(v->vnc, (int)lx, (int)ly, v->buttons);
    }
}

static void on_window(struct view *v, const SDL_WindowEvent *w)
{
    if (w->event == SDL_WINDOWEVENT_EXPOSED)
        v->changed = true;
    else if (w->event == SDL_WINDOWEVENT_FOCUS_LOST)
        release_keys(v);
    else if (w->event == SDL_WINDOWEVENT_RESIZED)
        v->wish_at = SDL_GetTicks() + RESIZE_MS;
}

/* False when the window was closed. */
static bool handle_events(struct view *v)
{
    SDL_Event e;
    while (SDL_PollEvent(&e))
        switch (e.type) {
        case SDL_QUIT:
            return false;
        case SDL_KEYDOWN:
        case SDL_KEYUP:
            on_key(v, &e.key);
            break;
        case SDL_MOUSEMOTION:
            SendPointerEvent(v->vnc, e.motion.x, e.motion.y, v->buttons);
            break;
        case SDL_MOUSEBUTTONDOWN:
        case SDL_MOUSEBUTTONUP:
            on_button(v, &e.button);
            break;
        case SDL_MOUSEWHEEL:
            on_wheel(v, &e.wheel);
            break;
        case SDL_WINDOWEVENT:
            on_window(v, &e.window);
            break;
        default:
            break;
        }
    return true;
}

/* A window of another size: machines that can tell their guest do. */
static void tell_wish(struct view *v)
{
    int w, h;
    if (!v->wish_at || SDL_GetTicks() < v->wish_at)
        return;
    v->wish_at = 0;
    SDL_GetWindowSize(v->window, &w, &h);
    if (w != v->vnc->width || h != v->vnc->height)
        SendExtDesktopSize(v->vnc, (uint16_t)w, (uint16_t)h);
}

/* -------------------------------------------------------------------- main -- */

static bool open_window(struct view *v, const char *title)
{
    if (SDL_Init(SDL_INIT_VIDEO))
        return false;
    v->window = SDL_CreateWindow(title, SDL_WINDOWPOS_UNDEFINED, SDL_WINDOWPOS_UNDEFINED, 720, 400,
                                 SDL_WINDOW_RESIZABLE);
    v->renderer = v->window ? SDL_CreateRenderer(v->window, -1, 0) : NULL;
    if (v->renderer)
        SDL_ShowCursor(SDL_ENABLE);
    return v->renderer;
}

static bool open_vnc(struct view *v, const char *path, const char *encodings)
{
    rfbClient *c = rfbGetClient(8, 3, 4);
    rfbEnableClientLogging = FALSE;
    if (!c)
        return false;
    v->vnc = c;
    rfbClientSetClientData(c, &view_tag, v);
    free(c->serverHost);
    c->serverHost = strdup(path);
    c->MallocFrameBuffer = on_size;
    c->GotFrameBufferUpdate = on_update;
    c->FinishedFrameBufferUpdate = on_updated;
    c->canHandleNewFBSize = TRUE;
    c->appData.encodingsString = encodings;
    c->appData.enableJPEG = FALSE;
    c->format.redShift = 16;
    c->format.greenShift = 8;
    c->format.blueShift = 0;
    if (rfbInitClient(c, NULL, NULL))
        return true;
    v->vnc = NULL; /* freed by the library */
    return false;
}

static int serve(struct view *v)
{
    time_t end = time(NULL) + DUMP_S;
    for (;;) {
        int n = WaitForMessage(v->vnc, WAIT_US);
        if (n < 0 || (n > 0 && !HandleRFBServerMessage(v->vnc)))
            return v->dump ? 2 : 0; /* the machine has ended */
        if (v->dump && v->whole)
            return write_dump(v);
        if (v->dump && time(NULL) > end) {
            fprintf(stderr, "wirt-view: no picture came\n");
            return 2;
        }
        if (v->dump)
            continue;
        if (!handle_events(v))
            return 0;
        tell_wish(v);
        draw(v);
    }
}

int main(int argc, char **argv)
{
    struct view v = {0};
    const char *encodings = "raw", *title = "Wirt";
    int i = 1, status = 2;
    for (; i + 1 < argc && argv[i][0] == '-'; i += 2)
        if (!strcmp(argv[i], "--dump"))
            v.dump = argv[i + 1];
        else if (!strcmp(argv[i], "--encodings"))
            encodings = argv[i + 1];
        else if (!strcmp(argv[i], "--title"))
            title = argv[i + 1];
        else
            break;
    if (i + 1 != argc || argv[i][0] == '-') {
        fprintf(stderr,
                "usage: wirt-view [--title TEXT] [--encodings LIST] [--dump FILE.ppm] SOCKET\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    if (!v.dump && !open_window(&v, title))
        fprintf(stderr, "wirt-view: %s\n", SDL_GetError());
    else if (!open_vnc(&v, argv[i], encodings))
        fprintf(stderr, "wirt-view: %s: no VNC server answers there\n", argv[i]);
    else
        status = serve(&v);
    if (v.vnc) {
        free(v.vnc->frameBuffer);
        v.vnc->frameBuffer = NULL;
        rfbClientCleanup(v.vnc);
    }
    if (v.texture)
        SDL_DestroyTexture(v.texture);
    if (v.renderer)
        SDL_DestroyRenderer(v.renderer);
    if (v.window)
        SDL_DestroyWindow(v.window);
    SDL_Quit();
    return status;
}
