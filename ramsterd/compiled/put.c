/* The loop of a put: the twin of core.hot.put_extent, whose order of stores it has. */

#include "loops.h"

#include <lz4.h>
#include <stddef.h>
#include <xxhash.h>

/* Before that its sums were others, and Python would call pages damaged. */
#if XXH_VERSION_NUMBER < 800
#error "libxxhash 0.8.0 or later"
#endif

#define ZPAGE_ROOM LZ4_COMPRESSBOUND(PAGE_BYTES)

void store_entry(Loops *self, uint32_t place, uint32_t entry) {
    __atomic_store_n((uint32_t *)self->entries.buf + place, entry, __ATOMIC_RELEASE);
    STORED("entry");
}

/* One word of the redo record: the number of its row commits it. */
static inline void store_redo(Loops *self, int word, uint64_t value) {
    __atomic_store_n((uint64_t *)self->redo.buf + word, value, __ATOMIC_RELEASE);
    STORED("redo word");
}

/* Look at the top of a stack of Python's; 0 if there is none. */
uint32_t top_of(PyObject *stack) {
    Py_ssize_t size = PyList_GET_SIZE(stack);
    return size ? (uint32_t)PyLong_AsUnsignedLong(PyList_GET_ITEM(stack, size - 1)) : 0;
}

int pop_from(PyObject *stack) {
    Py_ssize_t size = PyList_GET_SIZE(stack);
    return PyList_SetSlice(stack, size - 1, size, NULL);
}

static int has_all_classes(PyObject *families, Py_ssize_t family) {
    PyObject *classes = family < 0 || family >= PyList_GET_SIZE(families) ? NULL : PyList_GET_ITEM(families, family);
    return classes != NULL && PyList_Check(classes) && PyList_GET_SIZE(classes) == CLASSES;
}

int put_begin(const Loops *self, Put *put, Py_ssize_t family, PyObject *blocks, uint64_t serial, uint64_t limit,
              int takes_slots) {
    memset(put, 0, offsetof(Put, ends));
    if (!has_all_classes(self->stacks, family) || !has_all_classes(self->open_blocks, family)) {
        PyErr_SetString(PyExc_ValueError, "a stack and a block for each class");
        return -1;
    }
    put->stacks = PyList_GET_ITEM(self->stacks, family);
    put->family = family;
    put->blocks = blocks == Py_None ? NULL : blocks;
    put->takes_slots = takes_slots;
    put->serial = serial;
    put->serial_limit = limit;
    return 0;
}

static int acquire_room(const Loops *self, const Put *put, Room *room) {
    memset(room, 0, sizeof *room);
    room->stacks = put->stacks;
    room->open_block = PyList_GET_ITEM(self->open_blocks, put->family);
    room->blocks.heads = (uint32_t)(PyList_GET_SIZE(self->stacks) * CLASSES);
    room->first_list = (uint32_t)(put->family * CLASSES);
    if (PyObject_GetBuffer(self->room_next, &room->blocks.next, PyBUF_WRITABLE) < 0)
        return -1;
    if (PyObject_GetBuffer(self->room_previous, &room->blocks.previous, PyBUF_WRITABLE) < 0) {
        PyBuffer_Release(&room->blocks.next);
        return -1;
    }
    return 0;
}

/* Free the slots of what was replaced, as far as that is everyday; what is not is left, in the order in which it came. */
static void give_back(Loops *self, Columns *columns, Put *put, Room *room) {
    int left = 0;
    put->has_freed |= put->ends_count > 0;
    for (int place = 0; place < put->ends_count; place++) {
        int64_t end = put->ends[place];
        /* A row frees a slot, too, and others are to be freed before or after that. */
        if (put->drops_rows || !free_slot_with_room(self, columns, room, (uint32_t)end))
            put->ends[left++] = end;
    }
    put->ends_count = left;
}

/* Have slots of a block that is there in the empty stack of a class, behind what was replaced, as core.hot does; return 1,
   0 if that is for Python, -1 for an exception. */
static int find_slot(Loops *self, Columns *columns, Put *put, uint32_t chunks) {
    Room room;
    if (acquire_room(self, put, &room) < 0)
        return -1;
    give_back(self, columns, put, &room);
    int found = put->ends_count ? 0 : find_slots(columns, &room, chunks);
    release_room(&room);
    return found;
}

/* A new version of a page that has a row: the record is whole before it is committed, and done before it is cleared. */
static void replace_row(Loops *self, uint32_t row) {
    store_redo(self, 0, row);
    memcpy((Row *)self->rows.buf + row, (uint8_t *)self->redo.buf + REDO_ROW, sizeof(Row));
    STORED("row");
    store_redo(self, 0, 0);
}

static void write_record(Loops *self, const Row *row) {
    memcpy((uint8_t *)self->redo.buf + REDO_ROW, row, sizeof(Row));
    STORED("redo row");
}

static void end_old(Put *put, const Row *old) {
    if (old->holders[0]) {
        put->versions[put->versions_count++] = *old;
    } else if (old->location) {
        put->zbytes -= old->packed & ZPAGE_BYTES_MASK;
        put->zpages--;
        put->ends[put->ends_count++] = old->location;
    }
}

static void fill_hole(Columns *columns, Put *put, uint32_t place, uint32_t before) {
    if (before == HOLE) {
        columns->leaf_used[place >> LEAF_SHIFT]++;
        put->holes++;
    }
}

static int put_zeros(Loops *self, Columns *columns, Put *put, uint32_t place, uint32_t before) {
    uint32_t leaf = place >> LEAF_SHIFT;
    store_entry(self, place, ZERO);
    if (before >= FIRST_ROW) {
        put->ends[put->ends_count++] = -(int64_t)before;
        put->drops_rows = 1;
    }
    fill_hole(columns, put, place, before);
    if (columns->leaf_used[leaf] == LEAF_PAGES && (!put->leaves_count || put->leaves[put->leaves_count - 1] != leaf))
        put->leaves[put->leaves_count++] = leaf;
    put->zeros++;
    put->serial++;
    return 1;
}

static int put_filled(Loops *self, Columns *columns, Put *put, uint32_t place, uint32_t before, uint64_t word) {
    if (!word)
        return put_zeros(self, columns, put, place, before);
    Row row = {put->serial + 1, word, place, 0, PACKED_FILL, {0, 0, 0}};
    if (before >= FIRST_ROW) {
        Row old = *row_at(self, before);
        write_record(self, &row);
        store_redo(self, 1, 0);
        replace_row(self, before);
        end_old(put, &old);
    } else {
        uint32_t free_row = top_of(self->free_rows);
        if (!free_row || row_at(self, free_row) == NULL)
            return 0;
        if (pop_from(self->free_rows) < 0)
            return -1;
        memcpy((Row *)self->rows.buf + free_row, &row, sizeof row);
        STORED("row");
        store_entry(self, place, free_row);
        fill_hole(columns, put, place, before);
    }
    put->fills++;
    put->serial++;
    return 1;
}

static int note_block(Put *put, uint32_t location) {
    if (put->blocks == NULL)
        return 0;
    PyObject *block = PyLong_FromUnsignedLong(location >> SLOT_SHIFT);
    int result = block == NULL ? -1 : PySet_Add(put->blocks, block);
    Py_XDECREF(block);
    return result;
}

/* Whether a page may stay in the slot that it has, if its new zpage is of the same class. */
static int keeps_slot(const Columns *columns, const Row *old) {
    return old->location && !old->holders[0] && columns->block_state[old->location >> SLOT_SHIFT] != STATE_LEAVING;
}

/* Put a zpage of a page; 0 if there is no slot or no row for it: nothing was changed. */
static int put_zpage(Loops *self, Columns *columns, Put *put, uint32_t before, Row *row, const uint8_t *zpage) {
    uint32_t zbytes = row->packed & ZPAGE_BYTES_MASK, chunks = (zbytes + (1u << CHUNK_SHIFT) - 1) >> CHUNK_SHIFT;
    uint32_t number = before, location = 0;
    Row old = {0};
    if (before >= FIRST_ROW) {
        old = *row_at(self, before);
        if (keeps_slot(columns, &old) && columns->chunks_of_block[old.location >> SLOT_SHIFT] == chunks)
            location = old.location;
    }
    PyObject *stack = NULL;
    if (!location) {
        stack = PyList_GET_ITEM(put->stacks, chunks);
        if (!put->takes_slots) {
            put->wanted_chunks = -1;
            return 0;
        }
        if (before < FIRST_ROW && (!(number = top_of(self->free_rows)) || row_at(self, number) == NULL))
            return 0;
        if (!PyList_GET_SIZE(stack) && find_slot(self, columns, put, chunks) < 0)
            return -1;
        if (!(location = top_of(stack))) {
            put->wanted_chunks = (int)chunks;
            return 0;
        }
    }
    int64_t start = slot_start(self, columns, location, zbytes);
    if (start < 0)
        return 0;
    if (stack != NULL && (pop_from(stack) < 0 || (before < FIRST_ROW && pop_from(self->free_rows) < 0)))
        return -1;
    uint8_t *slot = (uint8_t *)self->arena.buf + start;
    row->location = location;
    row->serial = ++put->serial;
    if (location == old.location) {
        write_record(self, row);
        memcpy((uint8_t *)self->redo.buf + REDO_ZPAGE, zpage, zbytes);
        STORED("redo zpage");
        store_redo(self, 1, zbytes);
        store_redo(self, 0, number);
        memcpy(slot, zpage, zbytes);
        STORED("zpage in place");
        replace_row(self, number);
        put->zbytes -= old.packed & ZPAGE_BYTES_MASK;
        put->zpages--;
    } else {
        memcpy(slot, zpage, zbytes);
        STORED("zpage");
        ((uint32_t *)self->slot_rows.buf)[location] = number;
        STORED("row of a slot");
        if (before < FIRST_ROW) {
            memcpy((Row *)self->rows.buf + number, row, sizeof *row);
            STORED("row");
            store_entry(self, row->address, number);
            fill_hole(columns, put, row->address, before);
        } else {
            write_record(self, row);
            store_redo(self, 1, 0);
            replace_row(self, number);
            end_old(put, &old);
        }
    }
    put->zbytes += zbytes;
    put->stored_bytes += zbytes;
    put->zpages++;
    return note_block(put, location) < 0 ? -1 : 1;
}

/* Put one page at an address of a leaf that is no shared one; return 1, 0 if it is for Python, -1 for an exception. */
int put_page(Loops *self, Columns *columns, Put *put, uint32_t place, const uint8_t *page) {
    uint32_t before = ((uint32_t *)self->entries.buf)[place];
    put->wanted_chunks = 0;
    if (place >> LEAF_SHIFT >= columns->leaves || put->serial >= put->serial_limit ||
        put->ends_count == PUT_PAGES_MAX || put->leaves_count == PUT_PAGES_MAX || put->versions_count == PUT_PAGES_MAX)
        return 0;
    if (before >= FIRST_ROW) {
        const Row *old = row_at(self, before);
        if (old == NULL || old->location >> SLOT_SHIFT >= columns->blocks)
            return 0;
    }
    uint64_t first, last;
    memcpy(&first, page, 8);
    memcpy(&last, page + PAGE_BYTES - 8, 8);
    if (first == last && !memcmp(page, page + 8, PAGE_BYTES - 8))
        return put_filled(self, columns, put, place, before, first);
    if (!put->takes_slots && !(before >= FIRST_ROW && keeps_slot(columns, row_at(self, before)))) {
        put->wanted_chunks = -1;
        return 0;
    }
    char room[ZPAGE_ROOM];
    /* Byte for byte what lz4.block.compress makes of it: a stream of one block. */
    LZ4_stream_t stream;
    LZ4_initStream(&stream, sizeof stream);
    int zbytes = LZ4_compress_fast_continue(&stream, (const char *)page, room, PAGE_BYTES, ZPAGE_ROOM, 1);
    int is_raw = zbytes <= 0 || zbytes > ZPAGE_BYTES_MAX;
    Row row = {0, XXH3_64bits(page, PAGE_BYTES), place, 0, is_raw ? PACKED_RAW : (uint16_t)zbytes, {0, 0, 0}};
    int result = put_zpage(self, columns, put, before, &row, is_raw ? page : (const uint8_t *)room);
    put->raws += is_raw && result == 1;
    return result;
}

int append_number(PyObject *list, int64_t number) {
    PyObject *made = PyLong_FromLongLong(number);
    int result = made == NULL ? -1 : PyList_Append(list, made);
    Py_XDECREF(made);
    return result;
}

/* Free what was replaced, and return what is left to Python: slots, and rows as negative numbers. */
static PyObject *end_all(Loops *self, Columns *columns, Put *put) {
    if (!put->ends_count)
        return Py_NewRef(Py_None);
    Room room;
    if (acquire_room(self, put, &room) < 0)
        return NULL;
    give_back(self, columns, put, &room);
    release_room(&room);
    PyObject *left = put->ends_count ? PyList_New(0) : Py_NewRef(Py_None);
    for (int place = 0; left != NULL && place < put->ends_count; place++) {
        if (append_number(left, put->ends[place]) < 0)
            Py_CLEAR(left);
    }
    return left;
}

static PyObject *leaves_of(const Put *put) {
    if (!put->leaves_count)
        return Py_NewRef(Py_None);
    PyObject *leaves = PyList_New(0);
    for (int place = 0; leaves != NULL && place < put->leaves_count; place++) {
        if (append_number(leaves, put->leaves[place]) < 0)
            Py_CLEAR(leaves);
    }
    return leaves;
}

/* Return what Python has to count, and to do:

   (serial, zpages, zbytes, stored bytes, raws, zeros, fills, holes, whether slots were freed, ends or None, leaves or
    None, rows of versions that have holders or None) */
PyObject *put_end(Loops *self, Columns *columns, Put *put) {
    PyObject *ends = end_all(self, columns, put);
    PyObject *leaves = ends == NULL ? NULL : leaves_of(put);
    if (leaves == NULL) {
        Py_XDECREF(ends);
        return NULL;
    }
    const char *versions = put->versions_count ? (const char *)put->versions : NULL;
    return Py_BuildValue("KnnnnnnniNNy#", (unsigned long long)put->serial, put->zpages, put->zbytes, put->stored_bytes,
                         put->raws, put->zeros, put->fills, put->holes, put->has_freed, ends, leaves, versions,
                         (Py_ssize_t)put->versions_count * (Py_ssize_t)sizeof(Row));
}
