/* The loop of a get: the twin of core.hot.get_pages. */

#include "loops.h"

#include <lz4.h>
#include <xxhash.h>

/* Unpack a zpage; return 0 if it is not the page that was packed, or of another codec: Python says which. */
int decode_zpage(uint32_t packed, const uint8_t *zpage, uint64_t checksum, uint8_t *page) {
    uint32_t zbytes = packed & ZPAGE_BYTES_MASK;
    if (packed <= ZPAGE_BYTES_MAX) {
        if (LZ4_decompress_safe((const char *)zpage, (char *)page, (int)zbytes, PAGE_BYTES) != PAGE_BYTES)
            return 0;
    } else if (packed == PACKED_RAW) {
        memcpy(page, zpage, PAGE_BYTES);
    } else {
        return 0;
    }
    return XXH3_64bits(page, PAGE_BYTES) == checksum;
}

/* Unpack a page that is here; return 0 if it is not here whole, or of another codec. */
int decode_row(const Loops *self, const Columns *columns, const Row *row, uint8_t *page) {
    uint32_t packed = row->packed;
    if (packed == PACKED_FILL) {
        for (int word = 0; word < WORDS_PER_PAGE; word++)
            memcpy(page + 8 * word, &row->checksum, 8);
        return 1;
    }
    int64_t start = row->location ? slot_start(self, columns, row->location, packed & ZPAGE_BYTES_MASK) : -1;
    return start >= 0 && decode_zpage(packed, (const uint8_t *)self->arena.buf + start, row->checksum, page);
}

static int append_none(PyObject *pages) { return PyList_Append(pages, Py_None); }

/* Append a page of a row; 0: it is for Python. */
static int append_page(const Loops *self, const Columns *columns, const Row *row, PyObject *pages) {
    PyObject *page = PyBytes_FromStringAndSize(NULL, PAGE_BYTES);
    if (page == NULL)
        return -1;
    int result = decode_row(self, columns, row, (uint8_t *)PyBytes_AS_STRING(page));
    if (result && PyList_Append(pages, page) < 0)
        result = -1;
    Py_DECREF(page);
    return result;
}

static int append_elsewhere(PyObject *elsewhere, Py_ssize_t position, uint32_t row) {
    PyObject *pair = Py_BuildValue("nI", position, row);
    if (pair == NULL)
        return -1;
    int result = PyList_Append(elsewhere, pair);
    Py_DECREF(pair);
    return result;
}

/* Append one page; return 1 if that was everyday, 0 if not, -1 for an exception. */
static int get_page(const Loops *self, const Columns *columns, uint32_t entry, PyObject *zero_page, PyObject *pages,
                    PyObject *elsewhere, Got *got) {
    int result = 1;
    if (entry >= FIRST_ROW) {
        const Row *row = row_at(self, entry);
        if (row == NULL)
            return 0;
        if (row->location || row->packed == PACKED_FILL) {
            result = append_page(self, columns, row, pages);
            got->local += result == 1;
        } else if (append_elsewhere(elsewhere, PyList_GET_SIZE(pages), entry) < 0 || append_none(pages) < 0) {
            result = -1;
        }
        return result;
    }
    if (PyList_Append(pages, entry == ZERO ? zero_page : Py_None) < 0)
        return -1;
    got->local += entry == ZERO;
    got->lost += entry == LOST;
    return 1;
}

/* get(root, shift, prefix, index, count, zero_page, pages, elsewhere) -> (local, lost)

   Append the pages of a run to `pages`, and what is elsewhere to `elsewhere`, up to the first that is damaged or of
   another codec. */
PyObject *loops_get(Loops *self, PyObject *args) {
    unsigned int root;
    int shift;
    unsigned long long prefix, index;
    Py_ssize_t count;
    PyObject *zero_page, *pages, *elsewhere;
    if (!PyArg_ParseTuple(args, "IiKKnOO!O!", &root, &shift, &prefix, &index, &count, &zero_page, &PyList_Type, &pages,
                          &PyList_Type, &elsewhere))
        return NULL;
    Tree tree = {root, shift, prefix};
    Columns columns;
    if (columns_acquire(self, &columns, 0) < 0)
        return NULL;
    const uint32_t *entries = self->entries.buf;
    Got got = {0, 0, 0};
    uint32_t address = 0;
    int result = 1;
    for (Py_ssize_t done = 0; done < count && result == 1; done++, index++) {
        /* The entries of a leaf stand side by side. */
        if (!done || !(index & (LEAF_PAGES - 1)))
            address = find_entry(self, &tree, index);
        else if (address)
            address++;
        uint32_t entry = address ? entries[address] : HOLE;
        result = get_page(self, &columns, entry, zero_page, pages, elsewhere, &got);
    }
    columns_release(&columns);
    return result < 0 ? NULL : Py_BuildValue("nn", got.local, got.lost);
}

/* get_each(root, shift, prefix, indexes, zero_page, pages, elsewhere) -> (local, lost)

   The same for pages anywhere in an object. */
PyObject *loops_get_each(Loops *self, PyObject *args) {
    Tree tree;
    unsigned long long prefix;
    PyObject *indexes, *zero_page, *pages, *elsewhere;
    if (!PyArg_ParseTuple(args, "IiKO!OO!O!", &tree.root, &tree.shift, &prefix, &PyList_Type, &indexes, &zero_page,
                          &PyList_Type, &pages, &PyList_Type, &elsewhere))
        return NULL;
    tree.prefix = prefix;
    Columns columns;
    if (columns_acquire(self, &columns, 0) < 0)
        return NULL;
    Got got = {0, 0, 0};
    int result = 1;
    for (Py_ssize_t done = 0; done < PyList_GET_SIZE(indexes) && result == 1; done++) {
        uint64_t index = PyLong_AsUnsignedLongLong(PyList_GET_ITEM(indexes, done));
        if (index == (uint64_t)-1 && PyErr_Occurred()) {
            result = -1;
            break;
        }
        uint32_t address = find_entry(self, &tree, index);
        uint32_t entry = address ? ((const uint32_t *)self->entries.buf)[address] : HOLE;
        result = get_page(self, &columns, entry, zero_page, pages, elsewhere, &got);
    }
    columns_release(&columns);
    return result < 0 ? NULL : Py_BuildValue("nn", got.local, got.lost);
}
