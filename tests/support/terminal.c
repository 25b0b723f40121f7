// A pseudo-terminal with libvterm behind it.
#include "terminal.h"
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <vterm.h>

#include "base/base.h"

static const char mark[] = "\033]777;vise;idle\007";

struct terminal {
    pid_t pid;
    int fd; // our side; -1 after hang up
    int width, height;
    VTerm *vt;
    VTermScreen *screen;
    bool alternate, cursor, ended;
    int status;
    size_t bytes, marks, marks_seen, matched;
};

static int on_property(VTermProp property, VTermValue *value, void *user) {
    terminal *t = user;
    if (property == VTERM_PROP_ALTSCREEN) t->alternate = value->boolean;
    if (property == VTERM_PROP_CURSORVISIBLE) t->cursor = value->boolean;
    return 1;
}

static void child_environment(const char *term, const char *locale) {
    setenv("TERM", term, 1);
    setenv("LC_ALL", locale, 1);
    unsetenv("NO_COLOR");
    unsetenv("LINES");
    unsetenv("COLUMNS");
}

terminal *terminal_start(int width, int height, const char *term, const char *locale, int (*child)(void *),
                         void *context) {
    struct winsize size = {.ws_row = (unsigned short)height, .ws_col = (unsigned short)width};
    terminal *t = base_alloc(sizeof *t);
    fflush(NULL);
    t->pid = forkpty(&t->fd, NULL, NULL, &size);
    if (t->pid == 0) {
        child_environment(term, locale);
        signal(SIGPIPE, SIG_DFL);
        int result = child(context);
        fflush(NULL);
        _exit(result);
    }
    assert_true(t->pid > 0);
    fcntl(t->fd, F_SETFL, O_NONBLOCK);
    t->width = width;
    t->height = height;
    t->cursor = true;
    t->vt = vterm_new(height, width);
    vterm_set_utf8(t->vt, 1);
    t->screen = vterm_obtain_screen(t->vt);
    static const VTermScreenCallbacks callbacks = {.settermprop = on_property};
    vterm_screen_set_callbacks(t->screen, &callbacks, t);
    vterm_screen_enable_altscreen(t->screen, 1);
    vterm_screen_reset(t->screen, 1);
    return t;
}

void terminal_free(terminal *t) {
    if (!t) return;
    if (!t->ended) {
        kill(t->pid, SIGKILL);
        waitpid(t->pid, &t->status, 0);
    }
    if (t->fd >= 0) close(t->fd);
    vterm_free(t->vt);
    free(t);
}

// Count marks in the stream, wherever reads cut it.
static void count_marks(terminal *t, const char *bytes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        t->matched = bytes[i] == mark[t->matched] ? t->matched + 1 : bytes[i] == mark[0] ? 1 : 0;
        if (t->matched == sizeof mark - 1) {
            t->marks++;
            t->matched = 0;
        }
    }
}

// Read what is there, waiting at most until `until`. False when the other side is closed.
static bool pump(terminal *t, double until) {
    double left = until - base_now();
    struct pollfd fd = {.fd = t->fd, .events = POLLIN};
    if (t->fd < 0) return false;
    int wait_ms = left > 0 ? (int)(left * 1000) + 1 : 0;
    if (poll(&fd, 1, wait_ms) <= 0) return true;
    char bytes[16384];
    ssize_t n = read(t->fd, bytes, sizeof bytes);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return true;
    if (n <= 0) return false; // EIO: no process has the terminal open any more
    t->bytes += (size_t)n;
    vterm_input_write(t->vt, bytes, (size_t)n);
    count_marks(t, bytes, (size_t)n);
    return true;
}

void terminal_send_bytes(terminal *t, const char *bytes, size_t count) {
    size_t sent = 0;
    double until = base_now() + 10;
    while (sent < count && base_now() < until) {
        ssize_t n = write(t->fd, bytes + sent, count - sent);
        if (n > 0)
            sent += (size_t)n;
        else
            pump(t, base_now() + 0.01);
    }
    assert_int_equal(sent, count);
}
void terminal_send(terminal *t, const char *keys) {
    terminal_send_bytes(t, keys, strlen(keys));
}

bool terminal_await_mark(terminal *t, double seconds) {
    double until = base_now() + seconds;
    while (t->marks == t->marks_seen)
        if (base_now() > until || !pump(t, until)) return false;
    t->marks_seen++;
    return true;
}

void terminal_sync(terminal *t) {
    terminal_send(t, "\x1e");
    if (terminal_await_mark(t, SUPPORT_SLOWER > 1 ? 60 : 10)) return;
    char *text = terminal_text(t);
    print_message("%s\n", text);
    free(text);
    fail_msg("the screen did not answer the mark");
}

void terminal_type(terminal *t, const char *keys) {
    terminal_send(t, keys);
    terminal_sync(t);
}

void terminal_resize(terminal *t, int width, int height) {
    struct winsize size = {.ws_row = (unsigned short)height, .ws_col = (unsigned short)width};
    t->width = width;
    t->height = height;
    vterm_set_size(t->vt, height, width);
    assert_int_equal(ioctl(t->fd, TIOCSWINSZ, &size), 0);
}

void terminal_hang_up(terminal *t) {
    close(t->fd);
    t->fd = -1;
}

static VTermScreenCell cell_at(const terminal *t, int row, int column) {
    VTermScreenCell cell;
    memset(&cell, 0, sizeof cell);
    vterm_screen_get_cell(t->screen, (VTermPos){.row = row, .col = column}, &cell);
    return cell;
}

static void add_char(base_buf *b, uint32_t ch) {
    char out[5] = {0};
    if (ch < 0x80)
        out[0] = (char)ch;
    else if (ch < 0x800)
        out[0] = (char)(0xC0 | ch >> 6), out[1] = (char)(0x80 | (ch & 0x3F));
    else if (ch < 0x10000)
        out[0] = (char)(0xE0 | ch >> 12), out[1] = (char)(0x80 | (ch >> 6 & 0x3F)), out[2] = (char)(0x80 | (ch & 0x3F));
    else
        out[0] = '?';
    base_buf_puts(b, out);
}

static void add_line(base_buf *all, base_buf *line) {
    while (line->length > 0 && line->text[line->length - 1] == ' ') line->text[--line->length] = 0;
    if (line->length) base_buf_puts(all, line->text);
    base_buf_puts(all, "\n");
    base_buf_free(line);
}

char *terminal_text(terminal *t) {
    base_buf all = {0};
    for (int y = 0; y < t->height; y++) {
        base_buf line = {0};
        for (int x = 0; x < t->width; x++) {
            VTermScreenCell cell = cell_at(t, y, x);
            if (cell.chars[0] == (uint32_t)-1) continue; // the right half of a wide character
            add_char(&line, cell.chars[0] ? cell.chars[0] : ' ');
        }
        add_line(&all, &line);
    }
    return all.text ? all.text : base_strdup("");
}

static void colour_text(const VTermColor *c, bool is_default, char *out, size_t size) {
    if (is_default)
        snprintf(out, size, "-");
    else if (VTERM_COLOR_IS_INDEXED(c))
        snprintf(out, size, "%d", c->indexed.idx);
    else
        snprintf(out, size, "#%02x%02x%02x", c->rgb.red, c->rgb.green, c->rgb.blue);
}

static void look_text(const VTermScreenCell *cell, char *out, size_t size) {
    char fg[20], bg[20];
    colour_text(&cell->fg, VTERM_COLOR_IS_DEFAULT_FG(&cell->fg), fg, sizeof fg);
    colour_text(&cell->bg, VTERM_COLOR_IS_DEFAULT_BG(&cell->bg), bg, sizeof bg);
    snprintf(out, size, "colour %s on %s%s%s%s", fg, bg, cell->attrs.bold ? " bold" : "",
             cell->attrs.underline ? " underlined" : "", cell->attrs.reverse ? " reversed" : "");
}

enum { LOOKS = 52, LOOK_BYTES = 96 };

// Letters in the order of first sight; plain cells are dots, and blanks look plain unless reversed.
char *terminal_looks(terminal *t) {
    char looks[LOOKS][LOOK_BYTES];
    int count = 0;
    base_buf all = {0};
    for (int y = 0; y < t->height; y++) {
        base_buf line = {0};
        for (int x = 0; x < t->width; x++) {
            VTermScreenCell cell = cell_at(t, y, x);
            char look[LOOK_BYTES];
            look_text(&cell, look, sizeof look);
            bool blank = (!cell.chars[0] || cell.chars[0] == ' ') && !cell.attrs.reverse;
            int i = 0;
            while (i < count && strcmp(looks[i], look) != 0) i++;
            if (blank || strcmp(look, "colour - on -") == 0) {
                base_buf_puts(&line, blank ? " " : ".");
                continue;
            }
            if (i == count && count < LOOKS) memcpy(looks[count++], look, LOOK_BYTES);
            char letter[2] = {(char)(i < 26 ? 'a' + i : 'A' + i - 26), 0};
            base_buf_puts(&line, letter);
        }
        add_line(&all, &line);
    }
    for (int i = 0; i < count; i++) base_buf_printf(&all, "%c %s\n", i < 26 ? 'a' + i : 'A' + i - 26, looks[i]);
    return all.text ? all.text : base_strdup("");
}

bool terminal_shows(terminal *t, const char *text) {
    char *all = terminal_text(t);
    bool found = strstr(all, text) != NULL;
    free(all);
    return found;
}

bool terminal_alternate(const terminal *t) {
    return t->alternate;
}
bool terminal_cursor_visible(const terminal *t) {
    return t->cursor;
}
int terminal_height(const terminal *t) {
    return t->height;
}
pid_t terminal_pid(const terminal *t) {
    return t->pid;
}
size_t terminal_bytes(const terminal *t) {
    return t->bytes;
}

struct termios terminal_settings(const terminal *t) {
    struct termios s;
    memset(&s, 0, sizeof s);
    assert_int_equal(tcgetattr(t->fd, &s), 0);
    return s;
}

bool terminal_same_settings(const struct termios *a, const struct termios *b) {
    return a->c_iflag == b->c_iflag && a->c_oflag == b->c_oflag && a->c_cflag == b->c_cflag &&
           a->c_lflag == b->c_lflag && memcmp(a->c_cc, b->c_cc, sizeof a->c_cc) == 0;
}

int terminal_wait(terminal *t, double seconds) {
    double until = base_now() + seconds;
    while (!t->ended && base_now() < until) {
        if (!pump(t, base_now() + 0.005)) {
            struct timespec pause = {0, 2000000}; // nothing more to read: only its end is awaited
            nanosleep(&pause, NULL);
        }
        if (waitpid(t->pid, &t->status, WNOHANG) == t->pid) t->ended = true;
    }
    while (t->ended && pump(t, base_now())) // what it wrote last
        if (t->fd < 0 || poll(&(struct pollfd){.fd = t->fd, .events = POLLIN}, 1, 0) <= 0) break;
    return t->ended ? t->status : -1;
}
