/* The fast half of features.py: what is counted and hashed in the rows of a batch. hashing.py and counting.py
 * say what it is, do the same without this module where it is missing, and hand over their tables. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>
#include <stdint.h>
#include <string.h>

enum { LOWER = 1, UPPER = 2, DIGIT = 3, HIGH = 6 };
enum { WIDTH = 640, VALUE = 80, TEXT_WORDS = 96, GRAMS = 130, SIGNS = 32, BYTES = 128 };
enum { NUMBERS = 213, WORDS = 105, COUNTED = 79 };
/* Where in what is counted: see counting.py. */
enum { CHANGES = 9, HUMPS = 10, DIFFERENT = 11, ENTROPY = 12, SAME = 13, STEPS = 14, THERE = 29 };
static const uint32_t BUCKETS = 1 << 14, BASE = 0x01000193;

static struct {
    uint8_t classes[256];
    uint32_t salts[WIDTH];
    int32_t places[GRAMS];
    uint8_t signs[SIGNS];
    float bits[VALUE + 1], logs[VALUE + 1];
} tables;

static inline uint8_t folded(uint8_t byte)
{
    return tables.classes[byte] == UPPER ? byte + 32 : byte;
}

static inline int32_t bucket(uint32_t hash)
{
    hash = (hash ^ hash >> 15) * 0x2C1B3C6Du;
    return (int32_t)(1 + (hash ^ hash >> 13) % (BUCKETS - 1));
}

/* In their order, and all but the first of equals zero. */
static void once(int32_t *items, int count)
{
    static const int gaps[] = {57, 23, 10, 4, 1};
    for (int turn = 0; turn < 5; turn++) {
        int gap = gaps[turn];
        for (int at = gap; at < count; at++) {
            int32_t item = items[at];
            int to = at;
            for (; to >= gap && items[to - gap] > item; to -= gap)
                items[to] = items[to - gap];
            items[to] = item;
        }
    }
    int32_t last = items[0];
    for (int at = 1; at < count; at++) {
        int32_t item = items[at];
        if (item == last)
            items[at] = 0;
        last = item;
    }
}

static inline int is_inner(uint8_t class)
{
    return (class >= LOWER && class <= DIGIT) || class == HIGH;
}

static void words(const uint8_t *row, int32_t *out)
{
    int found = 0;
    memset(out, 0, TEXT_WORDS * sizeof *out);
    for (int begin = 0; begin < WIDTH && found < TEXT_WORDS;) {
        uint8_t first = tables.classes[row[begin]], last = first;
        uint32_t hash = folded(row[begin]), power = 1, salt = tables.salts[begin];
        int end = begin + 1;
        if (!is_inner(first)) {
            begin++;
            continue;
        }
        for (; end < WIDTH && tables.salts[end] == salt; end++) {
            uint8_t class = tables.classes[row[end]];
            if (!is_inner(class) || (last == LOWER && class == UPPER) || (last == DIGIT) != (class == DIGIT))
                break;
            power *= BASE;
            hash += folded(row[end]) * power;
            last = class;
        }
        if (first == DIGIT)
            hash = (uint32_t)(end - begin - 1) * 7919;
        if (end - begin > 1)
            out[found++] = bucket(hash ^ salt);
        begin = end;
    }
    once(out, TEXT_WORDS);
}

static void grams(const uint8_t *row, int32_t *out)
{
    for (int at = 0; at < GRAMS; at++) {
        const uint8_t *here = row + tables.places[at];
        uint32_t three = folded(here[0]) | (uint32_t)folded(here[1]) << 8 | (uint32_t)folded(here[2]) << 16;
        out[at] = here[0] && here[2] ? bucket(three * 0x85EBCA6Bu ^ tables.salts[tables.places[at]]) : 0;
    }
    once(out, GRAMS);
}

static void count(const uint8_t *row, float *out)
{
    uint8_t often[BYTES] = {0};
    int size = 0, changes = 0, humps = 0, same = 0, steps = 0, different = 0;
    for (int at = 0; at < VALUE; at++) {
        uint8_t byte = row[at], before = at ? row[at - 1] : 0;
        if (!byte)
            continue;
        size++;
        different += !often[byte < BYTES ? byte : BYTES - 1]++;
        if (!before)
            continue;
        uint8_t class = tables.classes[byte], last = tables.classes[before];
        changes += class != last;
        humps += class == UPPER && last == LOWER;
        same += byte == before;
        steps += byte == before + 1 || byte + 1 == before;
    }
    size = size ? size : 1;
    /* The order in which numpy adds, so that the last bit is the same. */
    float sums[8];
    for (int at = 0; at < 8; at++)
        sums[at] = tables.bits[often[at]];
    for (int at = 8; at < BYTES; at++)
        sums[at % 8] += tables.bits[often[at]];
    float bits = ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
    out[CHANGES] = (float)((double)changes / size);
    out[HUMPS] = (float)((double)humps / size);
    out[DIFFERENT] = (float)((double)different / size);
    out[ENTROPY] = (tables.logs[size] - bits / (float)size) / 5;
    out[SAME] = (float)((double)same / size);
    out[STEPS] = (float)((double)steps / size);
    for (int at = 0; at < SIGNS; at++)
        out[THERE + at] = often[tables.signs[at]] > 0;
}

static PyObject *prepare(PyObject *module, PyObject *arguments)
{
    const char *given[6];
    Py_ssize_t sizes[6];
    void *own[] = {tables.classes, tables.salts, tables.places, tables.signs, tables.bits, tables.logs};
    const size_t room[] = {sizeof tables.classes, sizeof tables.salts, sizeof tables.places,
                           sizeof tables.signs, sizeof tables.bits, sizeof tables.logs};
    if (!PyArg_ParseTuple(arguments, "y#y#y#y#y#y#", &given[0], &sizes[0], &given[1], &sizes[1], &given[2],
                          &sizes[2], &given[3], &sizes[3], &given[4], &sizes[4], &given[5], &sizes[5]))
        return NULL;
    for (int at = 0; at < 6; at++) {
        if ((size_t)sizes[at] != room[at])
            return PyErr_Format(PyExc_ValueError, "table %d has %zd bytes", at, sizes[at]);
        memcpy(own[at], given[at], room[at]);
    }
    Py_RETURN_NONE;
}

static PyObject *fill(PyObject *module, PyObject *arguments)
{
    Py_buffer rows, to[3];
    PyObject *result = NULL;
    const Py_ssize_t widths[] = {NUMBERS * sizeof(float), WORDS * sizeof(int32_t), GRAMS * sizeof(int32_t)};
    if (!PyArg_ParseTuple(arguments, "y*w*w*w*", &rows, &to[0], &to[1], &to[2]))
        return NULL;
    Py_ssize_t number = rows.len / WIDTH;
    if (rows.len != number * WIDTH || to[0].len != number * widths[0] || to[1].len != number * widths[1] ||
        to[2].len != number * widths[2]) {
        PyErr_SetString(PyExc_ValueError, "rows and what is filled differ in number");
    } else {
        for (Py_ssize_t at = 0; at < number; at++) {
            const uint8_t *row = (const uint8_t *)rows.buf + at * WIDTH;
            count(row, (float *)to[0].buf + at * NUMBERS + NUMBERS - COUNTED);
            words(row, (int32_t *)to[1].buf + at * WORDS + WORDS - TEXT_WORDS);
            grams(row, (int32_t *)to[2].buf + at * GRAMS);
        }
        result = Py_NewRef(Py_None);
    }
    PyBuffer_Release(&rows);
    for (int at = 0; at < 3; at++)
        PyBuffer_Release(&to[at]);
    return result;
}

static PyMethodDef methods[] = {
    {"prepare", prepare, METH_VARARGS, "prepare(classes, salts, places, signs, bits, logs): the tables."},
    {"fill", fill, METH_VARARGS, "fill(rows, numbers, words, grams): what stands in the rows."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_rows", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__rows(void)
{
    return PyModule_Create(&module);
}
