/* The fast half of drawn.py, which says what drawn and spaced runs are and does without this module where
 * it is missing. A run of at least LEAST bytes covers one of every LEAST positions, so most bytes are never
 * looked at. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { RUN = 1, DIGIT = 2, SMALL = 4, CAPITAL = 8 };
enum { LEAST = 15, TURNS = 4, SPACED = 16 };

static uint8_t kind[256];

static void fill_kinds(void)
{
    for (const char *c = "_-+/="; *c; c++)
        kind[(uint8_t)*c] = RUN;
    for (int c = '0'; c <= '9'; c++)
        kind[c] = RUN | DIGIT;
    for (int c = 'a'; c <= 'z'; c++)
        kind[c] = RUN | SMALL;
    for (int c = 'A'; c <= 'Z'; c++)
        kind[c] = RUN | CAPITAL;
}

static int is_drawn(const uint8_t *run, Py_ssize_t size)
{
    int turns = 0;
    uint8_t before = 0;
    for (Py_ssize_t at = 0; at < size; at++) {
        uint8_t now = kind[run[at]];
        if (now & DIGIT)
            return 1;
        if ((now & CAPITAL) && (before & SMALL) && ++turns >= TURNS)
            return 1;
        before = now;
    }
    return 0;
}

typedef struct {
    Py_ssize_t start, end;
} Stretch;

typedef struct {
    Stretch *items;
    Py_ssize_t count, room, size;
} Stretches;

/* Joined to the one before where they touch. False if there is no memory. */
static int add(Stretches *found, Py_ssize_t start, Py_ssize_t end)
{
    if (found->count && start <= found->items[found->count - 1].end) {
        found->size += end - found->items[found->count - 1].end;
        found->items[found->count - 1].end = end;
        return 1;
    }
    if (found->count == found->room) {
        Py_ssize_t room = found->room ? 2 * found->room : 64;
        Stretch *items = realloc(found->items, (size_t)room * sizeof *items);
        if (!items)
            return 0;
        found->items = items;
        found->room = room;
    }
    found->items[found->count++] = (Stretch){start, end};
    found->size += end - start;
    return 1;
}

/* One bit for each of 64 bytes: whether it belongs to a run. */
static uint64_t bits(const uint8_t *data)
{
    uint64_t found = 0;
#ifdef __SSE2__
    for (int part = 0; part < 64; part += 16) {
        __m128i text = _mm_loadu_si128((const __m128i *)(data + part));
        __m128i letter = _mm_sub_epi8(_mm_or_si128(text, _mm_set1_epi8(0x20)), _mm_set1_epi8('a'));
        __m128i number = _mm_sub_epi8(text, _mm_set1_epi8('/')); /* the slash stands before the zero */
        letter = _mm_cmpeq_epi8(_mm_min_epu8(letter, _mm_set1_epi8(25)), letter);
        number = _mm_cmpeq_epi8(_mm_min_epu8(number, _mm_set1_epi8(10)), number);
        __m128i sign = _mm_or_si128(
            _mm_or_si128(_mm_cmpeq_epi8(text, _mm_set1_epi8('_')), _mm_cmpeq_epi8(text, _mm_set1_epi8('-'))),
            _mm_or_si128(_mm_cmpeq_epi8(text, _mm_set1_epi8('+')), _mm_cmpeq_epi8(text, _mm_set1_epi8('='))));
        __m128i all = _mm_or_si128(_mm_or_si128(letter, number), sign);
        found |= (uint64_t)(uint16_t)_mm_movemask_epi8(all) << part;
    }
#else
    for (int at = 0; at < 64; at++)
        found |= (uint64_t)(kind[data[at]] != 0) << at;
#endif
    return found;
}

/* One bit for each of 64 bytes: whether it is a space. */
static uint64_t spaces(const uint8_t *data)
{
    uint64_t found = 0;
#ifdef __SSE2__
    for (int part = 0; part < 64; part += 16) {
        __m128i text = _mm_loadu_si128((const __m128i *)(data + part));
        __m128i space = _mm_cmpeq_epi8(text, _mm_set1_epi8(' '));
        found |= (uint64_t)(uint16_t)_mm_movemask_epi8(space) << part;
    }
#else
    for (int at = 0; at < 64; at++)
        found |= (uint64_t)(data[at] == ' ') << at;
#endif
    return found;
}

/* The bits of `now` that have one before them, `by` places back; `before` are the 64 bits before. */
static inline uint64_t again(uint64_t now, uint64_t before, int by)
{
    return now & (now << by | before >> (64 - by));
}

static int find(const uint8_t *data, Py_ssize_t size, Py_ssize_t back, Stretches *found)
{
    uint64_t last1 = 0, last2 = 0, last4 = 0, last8 = 0;
    uint64_t pairs1 = 0, pairs2 = 0, pairs4 = 0;
    Py_ssize_t done = 0;
    for (Py_ssize_t block = 0; block < size; block += 64) {
        uint8_t rest[64] = {0};
        const uint8_t *here = data + block;
        if (size - block < 64)
            here = memcpy(rest, here, (size_t)(size - block));
        /* Behind each step a bit says that 2, 4, 8, 15 bytes up to its own belong to a run. */
        uint64_t one = bits(here);
        uint64_t two = again(one, last1, 1), four = again(two, last2, 2), eight = again(four, last4, 4);
        uint64_t least = again(eight, last8, LEAST - 8);
        /* Likewise that a space, and one two, four, ... bytes before it, follows a byte of a run. */
        uint64_t pair = spaces(here) & (one << 1 | last1 >> 63);
        uint64_t pairs = again(pair, pairs1, 2), spaced4 = again(pairs, pairs2, 4);
        uint64_t spaced = again(spaced4, pairs4, 8);
        last1 = one, last2 = two, last4 = four, last8 = eight;
        pairs1 = pair, pairs2 = pairs, pairs4 = spaced4;
        while (least | spaced) {
            int bit = __builtin_ctzll(least | spaced);
            int is_run = (int)(least >> bit & 1);
            Py_ssize_t end = block + bit + 1, start = end - (is_run ? LEAST : SPACED);
            if (end > done) {
                if (is_run)
                    while (end < size && kind[data[end]])
                        end++;
                else {
                    while (end + 1 < size && kind[data[end]] && data[end + 1] == ' ')
                        end += 2;
                    if (end < size && kind[data[end]])
                        end++;
                }
                if ((!is_run || is_drawn(data + start, end - start))
                    && !add(found, start > back ? start - back : 0, end))
                    return 0;
                done = end;
            }
            if (end - block >= 64)
                break;
            least &= ~(uint64_t)0 << (end - block);
            spaced &= ~(uint64_t)0 << (end - block);
        }
    }
    return 1;
}

static PyObject *joined(const uint8_t *data, const Stretches *found)
{
    Py_ssize_t width = found->count * (Py_ssize_t)sizeof(int64_t), length = 0;
    PyObject *text = PyBytes_FromStringAndSize(NULL, found->size);
    PyObject *begins = PyBytes_FromStringAndSize(NULL, width);
    PyObject *sources = PyBytes_FromStringAndSize(NULL, width);
    if (!text || !begins || !sources) {
        Py_XDECREF(text);
        Py_XDECREF(begins);
        Py_XDECREF(sources);
        return NULL;
    }
    char *to = PyBytes_AsString(text);
    int64_t *begin = (int64_t *)PyBytes_AsString(begins);
    int64_t *source = (int64_t *)PyBytes_AsString(sources);
    for (Py_ssize_t at = 0; at < found->count; at++) {
        Stretch one = found->items[at];
        memcpy(to + length, data + one.start, (size_t)(one.end - one.start));
        begin[at] = length;
        source[at] = one.start;
        length += one.end - one.start;
    }
    return Py_BuildValue("(NNN)", text, begins, sources);
}

static PyObject *excerpt(PyObject *module, PyObject *arguments)
{
    const char *data;
    Py_ssize_t size, back;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "y#n", &data, &size, &back))
        return NULL;
    Stretches found = {0};
    int ok;
    Py_BEGIN_ALLOW_THREADS
    ok = find((const uint8_t *)data, size, back, &found);
    Py_END_ALLOW_THREADS
    PyObject *result = ok ? joined((const uint8_t *)data, &found) : PyErr_NoMemory();
    free(found.items);
    return result;
}

static PyMethodDef methods[] = {
    {"excerpt", excerpt, METH_VARARGS, "excerpt(data, back): the drawn and spaced runs with `back` bytes before each."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_drawn", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__drawn(void)
{
    fill_kinds();
    return PyModule_Create(&module);
}
