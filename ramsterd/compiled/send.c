/* The loops over a block that leaves: the twins of those of core.leaving and versions.forget_leaving, whose order of stores
   they have.

   A block is taken off the lists before (zbud.begin_leaving), and freed behind it, by Python. */

#include "loops.h"

#define SLOTS_MAX (1 << SLOT_SHIFT)

/* Note the row of each slot in use; return how many, -1 if something is not as it is in a whole block that leaves. */
static int rows_of(const Loops *self, const Columns *columns, size_t block, uint32_t *rows) {
    if (!block || block >= columns->blocks || columns->block_state[block] != STATE_LEAVING)
        return -1;
    uint32_t chunks = columns->chunks_of_block[block], first = (uint32_t)block << SLOT_SHIFT;
    int slots = chunks < CLASSES ? ((const uint8_t *)self->slots_of_class.buf)[chunks] : SLOTS_MAX + 1, count = 0;
    if (slots > SLOTS_MAX || ((size_t)first + SLOTS_MAX) * sizeof(uint32_t) > (size_t)self->slot_rows.len)
        return -1;
    for (uint32_t location = first; location < first + (uint32_t)slots; location++) {
        if (columns->free_slots[block] >> (location & SLOT_MASK) & 1)
            continue;
        uint32_t number = ((const uint32_t *)self->slot_rows.buf)[location];
        const Row *row = row_at(self, number);
        if (row == NULL || row->location != location ||
            slot_start(self, columns, location, row->packed & ZPAGE_BYTES_MASK) < 0)
            return -1;
        rows[count++] = number;
    }
    return count;
}

static PyObject *column(const void *values, int count, size_t bytes) {
    return PyBytes_FromStringAndSize(values, (Py_ssize_t)((size_t)count * bytes));
}

/* gather(block) -> (rows, serials, checksums, packed, body), or None: it is for Python

   Columns of numbers as this machine has them. */
PyObject *loops_gather(Loops *self, PyObject *args) {
    unsigned int block;
    uint32_t rows[SLOTS_MAX];
    uint64_t serials[SLOTS_MAX], checksums[SLOTS_MAX];
    uint16_t packed[SLOTS_MAX];
    Columns columns;
    if (!PyArg_ParseTuple(args, "I", &block) || columns_acquire(self, &columns, 1) < 0)
        return NULL;
    int count = rows_of(self, &columns, block, rows);
    Py_ssize_t bytes = 0;
    for (int place = 0; place < count; place++) {
        const Row *row = row_at(self, rows[place]);
        serials[place] = row->serial;
        checksums[place] = row->checksum;
        packed[place] = row->packed;
        bytes += row->packed & ZPAGE_BYTES_MASK;
    }
    PyObject *body = count < 0 ? Py_NewRef(Py_None) : PyBytes_FromStringAndSize(NULL, bytes);
    uint8_t *at = count < 0 || body == NULL ? NULL : (uint8_t *)PyBytes_AS_STRING(body);
    for (int place = 0; at != NULL && place < count; place++) {
        uint32_t zbytes = packed[place] & ZPAGE_BYTES_MASK;
        int64_t start = slot_start(self, &columns, row_at(self, rows[place])->location, zbytes);
        memcpy(at, (const uint8_t *)self->arena.buf + start, zbytes);
        at += zbytes;
    }
    columns_release(&columns);
    if (count < 0 || body == NULL)
        return body;
    return Py_BuildValue("NNNNN", column(rows, count, sizeof *rows), column(serials, count, sizeof *serials),
                         column(checksums, count, sizeof *checksums), column(packed, count, sizeof *packed), body);
}

/* The last word of a row has its encoding and all holders: one store. */
static void store_holders(Row *row, const uint16_t *holders) {
    uint16_t tail[4] = {row->packed, holders[0], holders[1], holders[2]};
    uint64_t word;
    memcpy(&word, tail, sizeof word);
    __atomic_store_n((uint64_t *)&row->packed, word, __ATOMIC_RELEASE);
    STORED("holders");
}

static int append_serial(PyObject **overtaken, uint64_t serial) {
    if (*overtaken == NULL && (*overtaken = PyList_New(0)) == NULL)
        return -1;
    return append_number(*overtaken, (int64_t)serial);
}

/* Whether these can be the rows of a block that leaves, and what they had. */
static int are_of_block(const Loops *self, const Columns *columns, size_t block, const Py_buffer *rows,
                        const Py_buffer *serials) {
    size_t count = (size_t)rows->len / sizeof(uint32_t);
    if (!block || block >= columns->blocks || columns->block_state[block] != STATE_LEAVING ||
        count * sizeof(uint32_t) != (size_t)rows->len || count * sizeof(uint64_t) != (size_t)serials->len)
        return 0;
    for (size_t place = 0; place < count; place++) {
        if (row_at(self, ((const uint32_t *)rows->buf)[place]) == NULL)
            return 0;
    }
    return 1;
}

/* hand_over(block, rows, serials, holder, holder, holder, is_kept) -> (pages, zbytes, overtaken or None), or None

   Those that are as they were sent are now held by these holders, and here only if the block `is_kept`; for the others
   return the serials that they had.  None: it is for Python. */
PyObject *loops_hand_over(Loops *self, PyObject *args) {
    unsigned int block;
    Py_buffer rows, serials;
    uint16_t holders[3];
    int is_kept;
    if (!PyArg_ParseTuple(args, "Iy*y*HHHp", &block, &rows, &serials, &holders[0], &holders[1], &holders[2], &is_kept))
        return NULL;
    Columns columns;
    PyObject *result = NULL, *overtaken = NULL;
    if (columns_acquire(self, &columns, 1) < 0)
        goto release;
    if (!are_of_block(self, &columns, block, &rows, &serials)) {
        result = Py_NewRef(Py_None);
        goto release_columns;
    }
    Py_ssize_t pages = 0, zbytes = 0;
    for (size_t place = 0; place < (size_t)rows.len / sizeof(uint32_t); place++) {
        Row *row = (Row *)self->rows.buf + ((const uint32_t *)rows.buf)[place];
        uint64_t serial = ((const uint64_t *)serials.buf)[place];
        /* A row that was freed may have a foreign page with this serial by now, but in another block. */
        if (row->location >> SLOT_SHIFT != block || row->serial != serial) {
            if (append_serial(&overtaken, serial) < 0)
                goto release_columns;
            continue;
        }
        /* This order: at any time the page is here, or somebody is said to have it. */
        store_holders(row, holders);
        if (!is_kept)
            store_location(row, 0);
        pages++;
        zbytes += row->packed & ZPAGE_BYTES_MASK;
    }
    result = Py_BuildValue("nnO", pages, zbytes, overtaken == NULL ? Py_None : overtaken);
release_columns:
    columns_release(&columns);
release:
    Py_XDECREF(overtaken);
    PyBuffer_Release(&rows);
    PyBuffer_Release(&serials);
    return result;
}

/* forget(block) -> (pages, zbytes), or None: it is for Python

   All pages of a clean block that leaves are elsewhere only. */
PyObject *loops_forget(Loops *self, PyObject *args) {
    unsigned int block;
    uint32_t rows[SLOTS_MAX];
    Columns columns;
    if (!PyArg_ParseTuple(args, "I", &block) || columns_acquire(self, &columns, 1) < 0)
        return NULL;
    int count = rows_of(self, &columns, block, rows);
    columns_release(&columns);
    if (count < 0)
        Py_RETURN_NONE;
    Py_ssize_t zbytes = 0;
    for (int place = 0; place < count; place++) {
        Row *row = (Row *)self->rows.buf + rows[place];
        store_location(row, 0);
        zbytes += row->packed & ZPAGE_BYTES_MASK;
    }
    return Py_BuildValue("in", count, zbytes);
}
