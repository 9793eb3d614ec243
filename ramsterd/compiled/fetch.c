/* The loops over pages that holders have: which of a run these are, which holder has those of a get, and what it gave for
   them, which is the twin of core.install and has its order of stores. */

#include "loops.h"

/* What is asked about each page of an answer: lists of Python's, and the zpages back to back. */
typedef struct {
    PyObject *rows, *serials, *packed, *families;
    Py_buffer zpages;
} Answer;

typedef struct {
    PyObject *pages, *stacks;
    long family;
    int installs;
    /* The next page, and where its zpage starts. */
    Py_ssize_t at, start;
    Py_ssize_t installed, zbytes;
    /* The class of the last page, if it would stay and no slot is ready for it; else 0. */
    int wanted_chunks;
} Home;

/* Return a number of a list; what is none is one that fits nowhere. */
static uint64_t number_at(PyObject *list, Py_ssize_t place) {
    uint64_t number = PyLong_AsUnsignedLongLong(PyList_GET_ITEM(list, place));
    if (number == (uint64_t)-1)
        PyErr_Clear();
    return number;
}

/* Copy a zpage into a slot that is ready, if there is one; only then say that it is here. */
static int install(Loops *self, const Columns *columns, Home *home, uint32_t number, const uint8_t *zpage) {
    Row *row = (Row *)self->rows.buf + number;
    uint32_t zbytes = row->packed & ZPAGE_BYTES_MASK, chunks = (zbytes + (1u << CHUNK_SHIFT) - 1) >> CHUNK_SHIFT;
    PyObject *stack = PyList_GET_ITEM(home->stacks, chunks);
    uint32_t location = top_of(stack);
    int64_t start = location ? slot_start(self, columns, location, zbytes) : -1;
    if (start < 0 || location >= (size_t)self->slot_rows.len / sizeof(uint32_t)) {
        home->wanted_chunks = (int)chunks;
        return 1;
    }
    if (pop_from(stack) < 0)
        return -1;
    memcpy((uint8_t *)self->arena.buf + start, zpage, zbytes);
    STORED("zpage");
    ((uint32_t *)self->slot_rows.buf)[location] = number;
    STORED("row of a slot");
    store_location(row, location);
    home->installed++;
    home->zbytes += zbytes;
    return 1;
}

/* Judge one page by its row as it is now; return 1, 0 if it is for Python, -1 for an exception. */
static int come_home(Loops *self, const Columns *columns, const Answer *answer, Home *home) {
    Py_ssize_t at = home->at;
    uint64_t code = number_at(answer->packed, at), number = number_at(answer->rows, at);
    Py_ssize_t zbytes = (Py_ssize_t)(code & ZPAGE_BYTES_MASK);
    if (code > UINT16_MAX || home->start > answer->zpages.len - zbytes)
        return 0;
    PyObject *family = PyList_GET_ITEM(answer->families, at);
    if (family == Py_None) {
        home->at++;
        home->start += zbytes;
        return PyList_Append(home->pages, Py_None) < 0 ? -1 : 1;
    }
    const Row *row = number > UINT32_MAX ? NULL : row_at(self, (uint32_t)number);
    if (row == NULL || row->serial != number_at(answer->serials, at) || !row->holders[0] || !code ||
        code != row->packed || !PyLong_Check(family) || PyLong_AsLong(family) != home->family)
        return 0;
    const uint8_t *zpage = (const uint8_t *)answer->zpages.buf + home->start;
    PyObject *page = PyBytes_FromStringAndSize(NULL, PAGE_BYTES);
    if (page == NULL)
        return -1;
    int result = decode_zpage(row->packed, zpage, row->checksum, (uint8_t *)PyBytes_AS_STRING(page));
    if (result && PyList_Append(home->pages, page) < 0)
        result = -1;
    Py_DECREF(page);
    if (result != 1)
        return result;
    home->at++;
    home->start += zbytes;
    /* What came meanwhile, by another fetch, is left as it is. */
    return row->location || !home->installs ? 1 : install(self, columns, home, (uint32_t)number, zpage);
}

/* come_home(rows, serials, packed, zpages, families, pages, at, start, stacks, family, installs)
   -> (at, start, installed, zbytes, chunks)

   Append pages to `pages`, and keep them if it `installs`, from the page `at` with its zpage at `start`, up to the first
   that is not what was asked for, or not of `family`; or behind the first that would be kept, and has no slot ready of
   the class `chunks`. */
PyObject *loops_come_home(Loops *self, PyObject *args) {
    Answer answer;
    Home home = {0};
    if (!PyArg_ParseTuple(args, "O!O!O!y*O!O!nnO!lp", &PyList_Type, &answer.rows, &PyList_Type, &answer.serials,
                          &PyList_Type, &answer.packed, &answer.zpages, &PyList_Type, &answer.families, &PyList_Type,
                          &home.pages, &home.at, &home.start, &PyList_Type, &home.stacks, &home.family, &home.installs))
        return NULL;
    PyObject *result = NULL;
    Py_ssize_t count = PyList_GET_SIZE(answer.rows);
    Columns columns;
    if (PyList_GET_SIZE(answer.serials) != count || PyList_GET_SIZE(answer.packed) != count ||
        PyList_GET_SIZE(answer.families) != count || PyList_GET_SIZE(home.stacks) != CLASSES || home.at < 0 ||
        home.start < 0) {
        PyErr_SetString(PyExc_ValueError, "lists of other lengths");
        goto release;
    }
    if (columns_acquire(self, &columns, 0) < 0)
        goto release;
    int each = 1;
    while (home.at < count && each == 1 && !home.wanted_chunks)
        each = come_home(self, &columns, &answer, &home);
    columns_release(&columns);
    if (each >= 0)
        result = Py_BuildValue("nnnni", home.at, home.start, home.installed, home.zbytes, home.wanted_chunks);
release:
    PyBuffer_Release(&answer.zpages);
    return result;
}

/* Return (position, serial, row) of a (position, row), NULL without an exception if no single holder has that page, or
   another one than those before. */
static PyObject *place_of(const Loops *self, PyObject *pair, uint16_t *holder) {
    if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2)
        return NULL;
    uint64_t number = PyLong_AsUnsignedLongLong(PyTuple_GET_ITEM(pair, 1));
    if (number == (uint64_t)-1)
        PyErr_Clear();
    const Row *row = number > UINT32_MAX ? NULL : row_at(self, (uint32_t)number);
    if (row == NULL || !row->holders[0] || row->holders[1] || (*holder && row->holders[0] != *holder))
        return NULL;
    *holder = row->holders[0];
    return Py_BuildValue("OKO", PyTuple_GET_ITEM(pair, 0), (unsigned long long)row->serial, PyTuple_GET_ITEM(pair, 1));
}

/* places(elsewhere) -> (holder, places), or None

   If one holder has all pages of a get, and nobody else has one: return it, and the position, serial and row of each. */
PyObject *loops_places(Loops *self, PyObject *elsewhere) {
    if (!PyList_Check(elsewhere) || !PyList_GET_SIZE(elsewhere))
        Py_RETURN_NONE;
    PyObject *places = PyList_New(PyList_GET_SIZE(elsewhere));
    uint16_t holder = 0;
    for (Py_ssize_t at = 0; places != NULL && at < PyList_GET_SIZE(places); at++) {
        PyObject *place = place_of(self, PyList_GET_ITEM(elsewhere, at), &holder);
        if (place == NULL) {
            Py_DECREF(places);
            return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
        }
        PyList_SET_ITEM(places, at, place);
    }
    return places == NULL ? NULL : Py_BuildValue("HN", holder, places);
}

/* Append what is known of a row to rows, serials, lengths of zpages, first and second holders. */
static int append_known(PyObject *const *lists, uint32_t number, const Row *row) {
    int64_t known[] = {number, (int64_t)row->serial, row->packed & ZPAGE_BYTES_MASK, row->holders[0], row->holders[1]};
    for (int place = 0; place < 5; place++) {
        if (append_number(lists[place], known[place]) < 0)
            return -1;
    }
    return 1;
}

/* find_elsewhere(root, shift, prefix, index, count, rows, serials, zbytes, firsts, seconds)

   Append to the lists what only peers have of a run; the twin of core.elsewhere. */
PyObject *loops_find_elsewhere(Loops *self, PyObject *args) {
    Tree tree;
    unsigned long long prefix, index;
    Py_ssize_t count;
    PyObject *lists[5];
    if (!PyArg_ParseTuple(args, "IiKKnO!O!O!O!O!", &tree.root, &tree.shift, &prefix, &index, &count, &PyList_Type,
                          &lists[0], &PyList_Type, &lists[1], &PyList_Type, &lists[2], &PyList_Type, &lists[3],
                          &PyList_Type, &lists[4]))
        return NULL;
    tree.prefix = prefix;
    const uint32_t *entries = self->entries.buf;
    uint32_t address = 0;
    for (Py_ssize_t done = 0; done < count; done++, index++) {
        /* The entries of a leaf stand side by side. */
        if (!done || !(index & (LEAF_PAGES - 1)))
            address = find_entry(self, &tree, index);
        else if (address)
            address++;
        const Row *row = address && entries[address] >= FIRST_ROW ? row_at(self, entries[address]) : NULL;
        if (row != NULL && !row->location && row->holders[0] && append_known(lists, entries[address], row) < 0)
            return NULL;
    }
    Py_RETURN_NONE;
}
