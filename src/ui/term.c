// The terminal: curses started and ended, keys translated, cells sent when they changed, and the promise that the
// terminal is given back as it was on every way out. Signal handlers only set flags and write a byte; the handler of a
// crash writes a string prepared at the start, restores the line settings and lets the signal do what it would have.
#include "ui/term.h"

#include <curses.h>
#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <term.h>
#include <termios.h>
#include <unistd.h>

static struct {
    SCREEN *screen;
    bool open, ascii, mouse;
    bool moves; // moves with a button held are reported
    struct termios saved;
    ui_grid shown; // what the terminal shows
    bool forget;
    int wake[2];
    char farewell[256]; // written when there is no time for curses
    size_t farewell_bytes;
    void *guard;
} term;

static volatile sig_atomic_t got_resize, got_stop, got_interrupt, got_end;

static const int flag_signals[] = {SIGWINCH, SIGTSTP, SIGINT, SIGTERM, SIGHUP};
static const int crash_signals[] = {SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE};
enum { FLAG_SIGNALS = sizeof flag_signals / sizeof *flag_signals };
enum { CRASH_SIGNALS = sizeof crash_signals / sizeof *crash_signals };
static struct sigaction flag_before[FLAG_SIGNALS], crash_before[CRASH_SIGNALS], pipe_before;

// ---- signals -----------------------------------------------------------------------------------

static void on_flag(int number) {
    int saved = errno;
    if (number == SIGWINCH) got_resize = 1;
    if (number == SIGTSTP) got_stop = 1;
    if (number == SIGINT) got_interrupt = 1;
    if (number == SIGTERM || number == SIGHUP) got_end = number;
    ssize_t n = write(term.wake[1], "", 1); // a full pipe already wakes us
    (void)n;
    errno = saved;
}

// Everything here is on POSIX's list of functions a handler may call.
static void give_back_now(void) {
    if (!term.open) return;
    term.open = false;
    ssize_t n = write(STDOUT_FILENO, term.farewell, term.farewell_bytes);
    (void)n;
    tcsetattr(STDIN_FILENO, TCSANOW, &term.saved);
}

static void on_crash(int number) {
    give_back_now();
    signal(number, SIG_DFL);
    raise(number); // held back until this handler returns, then it ends the program as it would have
}

enum { GUARD_BYTES = 65536 };

void *ui_term_guard(void) {
    void *guard = base_alloc(GUARD_BYTES);
    stack_t stack = {.ss_sp = guard, .ss_size = GUARD_BYTES};
    sigaltstack(&stack, NULL);
    return guard;
}

void ui_term_unguard(void *guard) {
    stack_t none = {.ss_flags = SS_DISABLE};
    sigaltstack(&none, NULL);
    free(guard);
}

static void signals_open(void) {
    struct sigaction flag = {.sa_handler = on_flag, .sa_flags = SA_RESTART};
    struct sigaction crash = {.sa_handler = on_crash, .sa_flags = SA_ONSTACK};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigemptyset(&flag.sa_mask);
    sigemptyset(&crash.sa_mask);
    term.guard = ui_term_guard();
    for (int i = 0; i < FLAG_SIGNALS; i++) sigaction(flag_signals[i], &flag, &flag_before[i]);
    for (int i = 0; i < CRASH_SIGNALS; i++) sigaction(crash_signals[i], &crash, &crash_before[i]);
    sigaction(SIGPIPE, &ignore, &pipe_before);
    // base mends faults in its maps when it holds SIGBUS and passes the others on; opening a map makes it take the
    // signal again, with our handler behind it.
    base_map map;
    base_err ignored;
    if (base_map_open(&map, "/proc/self/exe", &ignored)) base_map_close(&map);
    base_on_fatal(give_back_now);
}

static void signals_close(void) {
    base_on_fatal(NULL);
    for (int i = 0; i < FLAG_SIGNALS; i++) sigaction(flag_signals[i], &flag_before[i], NULL);
    for (int i = 0; i < CRASH_SIGNALS; i++)
        if (crash_signals[i] != SIGBUS) sigaction(crash_signals[i], &crash_before[i], NULL);
    sigaction(SIGPIPE, &pipe_before, NULL);
    ui_term_unguard(term.guard);
}

int ui_term_wake_fd(void) {
    return term.wake[0];
}
int ui_term_end_signal(void) {
    return got_end;
}

unsigned ui_term_signals(void) {
    char sink[64];
    while (read(term.wake[0], sink, sizeof sink) == (ssize_t)sizeof sink) {}
    unsigned bits = 0;
    if (got_resize) bits |= UI_SIGNAL_RESIZE;
    if (got_stop) bits |= UI_SIGNAL_STOP;
    if (got_interrupt) bits |= UI_SIGNAL_INTERRUPT;
    if (got_end) bits |= UI_SIGNAL_END;
    got_resize = got_stop = got_interrupt = 0;
    return bits;
}

// curses asks for clicks alone: moves with a button held are asked for, and given up, here.
static void report_moves(bool on) {
    fflush(stdout);
    if (term.moves && write(STDOUT_FILENO, on ? "\033[?1002h" : "\033[?1002l", 8) < 0) return; // clicks alone, then
}

void ui_term_suspend(bool group) {
    struct sigaction ours, other = {.sa_handler = SIG_IGN};
    report_moves(false);
    endwin();
    // The others of our process group first (a `make run` that started us), while we ignore the signal; then
    // ourselves with raise, which stops this thread before it returns.
    sigaction(SIGTSTP, &other, &ours);
    if (group) kill(0, SIGTSTP);
    other.sa_handler = SIG_DFL;
    sigaction(SIGTSTP, &other, NULL);
    raise(SIGTSTP);
    sigaction(SIGTSTP, &ours, NULL);
    got_stop = 0;
    got_resize = 1;
    ui_term_forget();
}

// Stopped together with the program we gave the terminal to.
static void stop_too(pid_t child) {
    struct sigaction ours, other = {.sa_handler = SIG_DFL};
    sigaction(SIGTSTP, &other, &ours);
    raise(SIGTSTP);
    sigaction(SIGTSTP, &ours, NULL);
    kill(child, SIGCONT);
}

int ui_term_run(const char *command, const char *file) {
    int status = 0;
    endwin();
    pid_t child = fork();
    if (child == 0) {
        signal(SIGPIPE, SIG_DFL);
        execl("/bin/sh", "sh", "-c", command, "sh", file, (char *)NULL);
        _exit(127);
    }
    while (child > 0 && (waitpid(child, &status, WUNTRACED) < 0 ? errno == EINTR : WIFSTOPPED(status)))
        if (WIFSTOPPED(status)) stop_too(child);
    got_stop = got_interrupt = 0; // they were the other program's
    got_resize = 1;
    ui_term_forget();
    return child > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

// ---- start and end -----------------------------------------------------------------------------

static void farewell_add(const char *capability) {
    const char *s = tigetstr(capability);
    if (!s || s == (const char *)-1) return;
    while (*s && term.farewell_bytes + 1 < sizeof term.farewell) {
        if (s[0] == '$' && s[1] == '<') { // a delay for hardware terminals
            while (*s && *s != '>') s++;
            if (*s) s++;
            continue;
        }
        term.farewell[term.farewell_bytes++] = *s++;
    }
}

static void farewell_prepare(void) {
    static const char mouse_off[] = "\033[?1006l\033[?1002l\033[?1000l";
    term.farewell_bytes = 0;
    farewell_add("sgr0");
    farewell_add("op");
    if (term.mouse) {
        memcpy(term.farewell + term.farewell_bytes, mouse_off, sizeof mouse_off - 1);
        term.farewell_bytes += sizeof mouse_off - 1;
    }
    farewell_add("rmkx");
    farewell_add("cnorm");
    farewell_add("rmcup");
}

static bool locale_is_utf8(void) {
    if (setlocale(LC_CTYPE, "") && strcmp(nl_langinfo(CODESET), "UTF-8") == 0) return true;
    // A locale that is asked for but not installed says what the terminal can do all the same.
    const char *asked = getenv("LC_ALL");
    if (!asked || !asked[0]) asked = getenv("LC_CTYPE");
    if (!asked || !asked[0]) asked = getenv("LANG");
    if (!asked || !(strcasestr(asked, "UTF-8") || strcasestr(asked, "UTF8"))) return false;
    return setlocale(LC_CTYPE, "C.UTF-8") != NULL;
}

static bool check_terminal(base_err *err) {
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        return base_fail_as(err, BASE_USAGE,
                            "The screen needs a terminal, but standard %s is not one; `vise run RECIPE` works without.",
                            isatty(STDIN_FILENO) ? "output" : "input");
    const char *name = getenv("TERM");
    int status = 0;
    if (!name || !name[0] || setupterm(name, STDOUT_FILENO, &status) != OK)
        return base_fail_as(
            err, BASE_USAGE,
            "The screen cannot be shown: TERM is %s%s, which the terminal database does not know; set it "
            "to your terminal's name (for example xterm-256color) or use `vise run RECIPE`.",
            name && name[0] ? "" : "not set", name ? name : "");
    const char *move = tigetstr("cup"), *clear = tigetstr("clear");
    bool able = move && move != (const char *)-1 && clear && clear != (const char *)-1;
    del_curterm(cur_term);
    if (able) return true;
    return base_fail_as(err, BASE_USAGE,
                        "The screen cannot be shown: a terminal of type %s cannot place its cursor; set TERM to your "
                        "terminal's name (for example xterm-256color) or use `vise run RECIPE`.",
                        name);
}

// Terminals of 16.7 million colours say so in COLORTERM while TERM still names their kind with 256. The terminal
// database has a kin of most kinds that says it too; NULL: none, or nobody says so.
static const char *direct_kin(void) {
    static char name[80];
    const char *says = getenv("COLORTERM"), *kind = getenv("TERM"), *no = getenv("NO_COLOR");
    if (!says || (strcmp(says, "truecolor") != 0 && strcmp(says, "24bit") != 0) || (no && no[0])) return NULL;
    if (strstr(kind, "direct")) return NULL;
    int status = 0;
    snprintf(name, sizeof name, "%.*s-direct", (int)strcspn(kind, "-"), kind);
    if (setupterm(name, STDOUT_FILENO, &status) != OK) return NULL;
    bool able = tigetflag("RGB") == 1 && tigetnum("colors") >= 1 << 24;
    del_curterm(cur_term);
    return able ? name : NULL;
}

bool ui_term_open(const ui_options *options, const ui_theme *theme, base_err *err) {
    bool utf8 = locale_is_utf8();
    if (!check_terminal(err)) return false;
    if (tcgetattr(STDIN_FILENO, &term.saved) != 0)
        return base_fail(err, "The settings of the terminal cannot be read: %s.", strerror(errno));
    if (pipe2(term.wake, O_NONBLOCK | O_CLOEXEC) != 0)
        return base_fail(err, "A pipe for signals cannot be made: %s.", strerror(errno));
    term.ascii = options->ascii || !utf8;
    got_resize = got_stop = got_interrupt = got_end = 0;
    signals_open(); // before curses, which takes only signals nobody holds
    set_escdelay(25);
    const char *direct =
        options->colours == UI_COLOURS_AUTO || options->colours == UI_COLOURS_16M ? direct_kin() : NULL;
    term.screen = newterm(direct, stdout, stdin);
    if (!term.screen) {
        signals_close();
        close(term.wake[0]);
        close(term.wake[1]);
        return base_fail(err, "The terminal of type %s cannot be started.", getenv("TERM"));
    }
    raw();
    noecho();
    nonl();
    keypad(stdscr, TRUE);
    nodelay(stdscr, TRUE);
    idlok(stdscr, FALSE);
    scrollok(stdscr, FALSE);
    leaveok(stdscr, FALSE);
    curs_set(0);
    ui_theme_open(options->colours, theme);
    if (!options->no_mouse) {
        // A press whose release is already there is reported as a click.
        mousemask(BUTTON1_PRESSED | BUTTON1_CLICKED | BUTTON1_RELEASED | BUTTON4_PRESSED | BUTTON5_PRESSED |
                      REPORT_MOUSE_POSITION,
                  NULL);
        mouseinterval(0);
        const char *mouse = tigetstr("kmous");
        term.moves = mouse && mouse != (const char *)-1;
        term.mouse = true;
    }
    farewell_prepare();
    term.open = true;
    ui_term_forget();
    return true;
}

void ui_term_close(void) {
    if (!term.open) return;
    report_moves(false);
    endwin();
    term.open = false;
    tcsetattr(STDIN_FILENO, TCSANOW, &term.saved);
}

void ui_term_free(void) {
    if (!term.screen) return;
    delscreen(term.screen);
    term.screen = NULL;
    signals_close();
    ui_grid_free(&term.shown);
    close(term.wake[0]);
    close(term.wake[1]);
}

bool ui_term_ascii(void) {
    return term.ascii;
}

void ui_term_size(int *w, int *h) {
    struct winsize size = {0};
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0) {
        // A grid of a million cells is more than any terminal; what claims more is wrong.
        int rows = size.ws_row < 1000 ? size.ws_row : 1000, cols = size.ws_col < 1000 ? size.ws_col : 1000;
        if (rows != LINES || cols != COLS) resizeterm(rows, cols);
    }
    *w = COLS > 0 ? COLS : 1;
    *h = LINES > 0 ? LINES : 1;
}

// ---- output ------------------------------------------------------------------------------------

void ui_term_forget(void) {
    term.forget = true;
}

static bool same_cell(const ui_cell *a, const ui_cell *b) {
    return a->ch == b->ch && a->style == b->style && a->reverse == b->reverse && a->fg == b->fg && a->bg == b->bg;
}

static void send_cell(const ui_cell *c, int x, int y) {
    if (c->style == UI_PAINTED)
        ui_theme_paint(c->fg, c->bg, c->reverse);
    else
        ui_theme_apply((ui_style)c->style, c->reverse);
    wchar_t text[2] = {(wchar_t)c->ch, 0};
    if (c->ch < 0x7F)
        mvaddch(y, x, (chtype)c->ch);
    else
        mvaddnwstr(y, x, text, 1);
}

void ui_term_show(const ui_grid *g, int cursor_x, int cursor_y) {
    ui_grid *old = &term.shown;
    bool whole = false;
    if (term.forget || old->w != g->w || old->h != g->h) {
        clearok(stdscr, TRUE);
        erase();
        ui_grid_resize(old, g->w, g->h);
        for (int i = 0; i < g->w * g->h; i++) old->cells[i].style = UINT8_MAX; // equal to no cell
        term.forget = false;
        whole = true;
    }
    for (int y = 0; y < g->h; y++) {
        for (int x = 0; x < g->w; x++) {
            int i = y * g->w + x;
            if (same_cell(&g->cells[i], &old->cells[i])) continue;
            if (g->cells[i].ch) send_cell(&g->cells[i], x, y);
            // A wide character is sent whole: its right half changed means the left one is sent again.
            else if (x > 0 && same_cell(&g->cells[i - 1], &old->cells[i - 1]))
                send_cell(&g->cells[i - 1], x - 1, y);
        }
    }
    memcpy(old->cells, g->cells, (size_t)g->w * (size_t)g->h * sizeof *g->cells);
    ui_theme_apply(UI_NORMAL, false);
    curs_set(cursor_x >= 0 ? 1 : 0);
    if (cursor_x >= 0) move(cursor_y, cursor_x < g->w ? cursor_x : g->w - 1);
    refresh();
    if (whole) report_moves(true); // after the first frame, and after each time the terminal was away
}

void ui_term_mark(void) {
    static const char mark[] = "\033]777;vise;idle\007";
    fflush(stdout);
    size_t sent = 0;
    while (sent < sizeof mark - 1) {
        ssize_t n = write(STDOUT_FILENO, mark + sent, sizeof mark - 1 - sent);
        if (n < 0 && errno != EINTR && errno != EAGAIN) return;
        if (n > 0) sent += (size_t)n;
    }
}

// ---- input -------------------------------------------------------------------------------------

static const struct {
    int curses, key;
} key_table[] = {
    {KEY_UP, UI_KEY_UP},
    {KEY_DOWN, UI_KEY_DOWN},
    {KEY_LEFT, UI_KEY_LEFT},
    {KEY_RIGHT, UI_KEY_RIGHT},
    {KEY_PPAGE, UI_KEY_PAGE_UP},
    {KEY_NPAGE, UI_KEY_PAGE_DOWN},
    {KEY_HOME, UI_KEY_HOME},
    {KEY_END, UI_KEY_END},
    {KEY_DC, UI_KEY_DELETE},
    {KEY_BTAB, UI_KEY_BACK_TAB},
    {KEY_BACKSPACE, UI_KEY_BACKSPACE},
    {KEY_ENTER, UI_KEY_ENTER},
    {KEY_A1, UI_KEY_HOME},
    {KEY_A3, UI_KEY_PAGE_UP},
    {KEY_C1, UI_KEY_END},
    {KEY_C3, UI_KEY_PAGE_DOWN},
};

static int mouse_key(ui_mouse *mouse) {
    MEVENT e;
    if (getmouse(&e) != OK) return UI_KEY_NONE;
    *mouse = (ui_mouse){e.x, e.y, UI_MOUSE_CLICK};
    if (e.bstate & BUTTON4_PRESSED)
        mouse->action = UI_MOUSE_UP;
    else if (e.bstate & BUTTON5_PRESSED)
        mouse->action = UI_MOUSE_DOWN;
    else if (e.bstate & REPORT_MOUSE_POSITION)
        mouse->action = UI_MOUSE_DRAG;
    else if (e.bstate & BUTTON1_RELEASED)
        mouse->action = UI_MOUSE_RELEASE;
    else if (!(e.bstate & (BUTTON1_PRESSED | BUTTON1_CLICKED)))
        return UI_KEY_NONE;
    return UI_KEY_MOUSE;
}

int ui_term_key(ui_mouse *mouse) {
    while (true) {
        wint_t got;
        int kind = get_wch(&got);
        if (kind == ERR) return UI_KEY_NONE;
        if (kind == OK) {
            if (got == '\n') return UI_KEY_ENTER;
            if (got == 8) return UI_KEY_BACKSPACE;
            if (got == 0) continue;
            return (int)got;
        }
        if (got == KEY_MOUSE) {
            int key = mouse_key(mouse);
            if (key != UI_KEY_NONE) return key;
            continue;
        }
        if (got >= KEY_F(1) && got <= KEY_F(12)) return UI_KEY_F1 + (int)(got - KEY_F(1));
        for (size_t i = 0; i < sizeof key_table / sizeof *key_table; i++)
            if (key_table[i].curses == (int)got) return key_table[i].key;
        // Unknown function keys and curses' own resize key are nothing.
    }
}

bool ui_term_gone(short revents) {
    if (revents & (POLLHUP | POLLERR | POLLNVAL)) return true;
    if (!(revents & POLLIN)) return false;
    // Readable with nothing to read: the end of the input.
    int waiting = 0;
    if (ioctl(STDIN_FILENO, FIONREAD, &waiting) == 0 && waiting > 0) return false;
    struct pollfd again = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&again, 1, 0) > 0 && ioctl(STDIN_FILENO, FIONREAD, &waiting) == 0 && waiting == 0;
}
