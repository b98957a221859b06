/* The fast half of wraps.py and positions.py, which do without this module where it is missing. Most lines of a
 * log are told apart from wrapped ones by a few bytes at their ends; what is left is for wraps.py to judge. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* See wraps.py for what these are. */
enum { WRAPPED = 72, WIDEST = 1024, SIDE = 8, TAIL = 12, REACH = 24, LONG = 20, NAME = 64 };
enum { UNKNOWN = -1, ESCAPE = 0x1b };

static uint8_t token[256];
static uint8_t terminal[WIDEST + 1];

static void fill_tables(void)
{
    static const int widths[] = {72,  76,  78,  79,  80,  99,  100, 119, 120, 131,
                                 132, 139, 140, 159, 160, 199, 200, 256, 0};
    for (const char *c = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+/=.~-"; *c; c++)
        token[(uint8_t)*c] = 1;
    for (const int *width = widths; *width; width++)
        terminal[*width] = 1;
}

static inline int is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* Whether `text` reads like `form`, in which a zero stands for any digit, a T for a T or a space. */
static int reads(const uint8_t *text, const uint8_t *end, const char *form)
{
    if (end - text < (Py_ssize_t)strlen(form))
        return 0;
    for (; *form; form++, text++)
        if (*form == '0' ? !is_digit(*text) : *form == 'T' ? *text != 'T' && *text != ' ' : *text != (uint8_t)*form)
            return 0;
    return 1;
}

/* The length of a time as in logs.py, 0 if there is none. */
static Py_ssize_t stamp(const uint8_t *text, const uint8_t *end)
{
    const uint8_t *at = text;
    if (!reads(at, end, "0000-00-00T00:00:00"))
        return 0;
    at += 19;
    if (reads(at, end, ".0") || reads(at, end, ",0"))
        for (const uint8_t *last = at + 10; ++at < end && at < last && is_digit(*at);)
            ;
    if (at < end && *at == 'Z')
        at++;
    else if (at < end && (*at == '+' || *at == '-')) {
        if (reads(at + 1, end, "00:00"))
            at += 6;
        else if (reads(at + 1, end, "0000"))
            at += 5;
    }
    return at - text;
}

/* The length of what a build system puts before a line, UNKNOWN for the kinds that are not read here. */
static Py_ssize_t prefix(const uint8_t *line, const uint8_t *end)
{
    if (line < end && *line == ESCAPE)
        return UNKNOWN;
    const uint8_t *name = end - line < NAME ? end : line + NAME;
    for (const uint8_t *at = line; (at = memchr(at, '|', (size_t)(name - at))); at++)
        if (at > line && at[-1] == ' ')
            return UNKNOWN;
    if (line < end && *line == '[') {
        Py_ssize_t size = stamp(line + 1, end);
        return size && reads(line + 1 + size, end, "] ") ? size + 3 : 0;
    }
    Py_ssize_t size = stamp(line, end);
    if (!size)
        return 0;
    const uint8_t *at = line + size;
    /* GitLab's, with the number of a stream. */
    if (reads(at, end, " 00") && end - at > 4 && (at[3] == 'O' || at[3] == 'E') && (at[4] == ' ' || at[4] == '+'))
        at += 5;
    return at + (at < end && *at == ' ') - line;
}

/* Whether an address or a date begins here: then the line is one of its own. */
static int opens(const uint8_t *at, const uint8_t *end)
{
    if (reads(at, end, "0000-00-00T"))
        return 1;
    for (int part = 0; part < 2; part++, at++) {
        const uint8_t *first = at;
        while (at < end && at < first + 3 && is_digit(*at))
            at++;
        if (at == first || at == end || *at != '.')
            return 0;
    }
    return at < end && is_digit(*at);
}

/* What stands on one side of a line end, read away from it. */
typedef struct {
    int length, digit, near, space;
} Run;

static Run run(const uint8_t *at, int step, Py_ssize_t room)
{
    Run found = {0};
    int joined = 1;
    for (int count = 0; count < REACH && count < room; count++, at += step) {
        int digit = is_digit(*at);
        joined &= token[*at];
        found.length += joined;
        found.digit |= joined & digit;
        found.near |= digit && count < TAIL;
        found.space |= *at == ' ';
    }
    return found;
}

enum { REFUSED, PERHAPS, BLOCK };

/* `line` to `stop` is a line of at least WRAPPED bytes, the next one begins at `follow`. */
static int judge(const uint8_t *line, const uint8_t *stop, const uint8_t *follow, const uint8_t *end)
{
    if (!token[stop[-1]] || !(token[*follow] || *follow == '[' || *follow == ESCAPE))
        return REFUSED;
    Py_ssize_t here = prefix(line, stop), next = prefix(follow, end);
    if (here == UNKNOWN || next == UNKNOWN || stop - line > WIDEST)
        return BLOCK;
    if (opens(follow + next, end))
        return REFUSED;
    Py_ssize_t width = stop - line - here;
    if (width < WRAPPED || !here != !next)
        return REFUSED;
    Run tail = run(stop - 1, -1, width), head = run(follow + next, 1, end - follow - next);
    if (tail.length < SIDE && head.length < SIDE)
        return REFUSED;
    if (!tail.space || memchr(line, ESCAPE, (size_t)(stop - line)))
        return BLOCK;
    if (tail.length >= TAIL && tail.near && head.near)
        return PERHAPS;
    if (terminal[width] && (tail.digit || head.digit || tail.length + head.length >= LONG))
        return PERHAPS;
    return REFUSED;
}

typedef struct {
    int64_t *items;
    Py_ssize_t count, room;
} Ends;

static int add(Ends *found, Py_ssize_t end)
{
    if (found->count && found->items[found->count - 1] == end)
        return 1;
    if (found->count == found->room) {
        Py_ssize_t room = found->room ? 2 * found->room : 64;
        int64_t *items = realloc(found->items, (size_t)room * sizeof *items);
        if (!items)
            return 0;
        found->items = items;
        found->room = room;
    }
    found->items[found->count++] = end;
    return 1;
}

/* Whether `line` to `stop` may go on behind the time with which the next line begins. */
static int goes_on(const uint8_t *line, const uint8_t *stop, const uint8_t *follow, const uint8_t *end)
{
    if (!is_digit(*follow) || stop - line < TAIL || !token[stop[-1]])
        return 0;
    Run tail = run(stop - 1, -1, TAIL);
    return tail.length == TAIL && tail.digit && reads(follow, end, "0000-00-00T00:00:00");
}

static int find(const uint8_t *data, Py_ssize_t size, Ends *found, Ends *pieces)
{
    const uint8_t *end = data + size, *line = data, *newline;
    Py_ssize_t above = -1; /* the end of the line before, if it is long enough */
    while ((newline = memchr(line, '\n', (size_t)(end - line))) && newline + 1 < end) {
        Py_ssize_t at = -1;
        if (newline - line >= WRAPPED) {
            at = newline - data;
            int verdict = judge(line, newline - (newline[-1] == '\r'), newline + 1, end);
            /* The line above the second row of a block is its first. */
            if (verdict == BLOCK && above >= 0 && !add(found, above))
                return 0;
            if (verdict != REFUSED && !add(found, at))
                return 0;
        }
        if (goes_on(line, newline, newline + 1, end) && !add(pieces, newline - data))
            return 0;
        above = at;
        line = newline + 1;
    }
    return 1;
}

static PyObject *listed(const Ends *found)
{
    PyObject *result = PyList_New(found->count);
    for (Py_ssize_t at = 0; result && at < found->count; at++) {
        PyObject *end = PyLong_FromLongLong(found->items[at]);
        if (!end || PyList_SetItem(result, at, end) < 0)
            Py_CLEAR(result);
    }
    return result;
}

static PyObject *line_ends(PyObject *module, PyObject *argument)
{
    char *data;
    Py_ssize_t size;
    (void)module;
    if (PyBytes_AsStringAndSize(argument, &data, &size) < 0)
        return NULL;
    Ends found = {0}, pieces = {0};
    int ok;
    Py_BEGIN_ALLOW_THREADS
    ok = find((const uint8_t *)data, size, &found, &pieces);
    Py_END_ALLOW_THREADS
    PyObject *first = ok ? listed(&found) : PyErr_NoMemory();
    PyObject *second = first ? listed(&pieces) : NULL;
    free(found.items);
    free(pieces.items);
    if (!second) {
        Py_XDECREF(first);
        return NULL;
    }
    return Py_BuildValue("(NN)", first, second);
}

static PyObject *newlines(PyObject *module, PyObject *arguments)
{
    const char *data;
    Py_ssize_t size, start, end, found = 0;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "y#nn", &data, &size, &start, &end))
        return NULL;
    if (start < 0 || end > size)
        return PyErr_Format(PyExc_ValueError, "from %zd to %zd in %zd bytes", start, end, size);
    /* Plain enough for the compiler to count many at once: in bytes, as long as those cannot overflow. */
    for (Py_ssize_t at = start; at < end;) {
        Py_ssize_t stop = end - at > 255 ? at + 255 : end;
        uint8_t count = 0;
        for (; at < stop; at++)
            count += data[at] == '\n';
        found += count;
    }
    return PyLong_FromSsize_t(found);
}

static PyMethodDef methods[] = {
    {"line_ends", line_ends, METH_O, "line_ends(data): where lines end that may be wrapped, and that may be pieces."},
    {"newlines", newlines, METH_VARARGS, "newlines(data, start, end): how many there are."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_lines", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__lines(void)
{
    fill_tables();
    return PyModule_Create(&definition);
}
