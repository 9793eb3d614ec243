/* The compiled twins of the inner loops of core.hot (docs/design/0022): serve the everyday case, or stop and say how far.

   All else is done by Python, from there on.  The interpreter's lock is held all the time. */

#include "loops.h"

#include <lz4.h>
#include <stddef.h>

PyObject *loops_watcher = NULL;

void loops_stored(const char *place) {
    PyObject *result = PyObject_CallFunction(loops_watcher, "s", place);
    if (result == NULL)
        PyErr_WriteUnraisable(loops_watcher);
    Py_XDECREF(result);
}

static int acquire(Columns *columns, PyObject *array, int flags) {
    if (PyObject_GetBuffer(array, &columns->buffers[columns->count], flags) < 0)
        return -1;
    columns->count++;
    return 0;
}

/* Without `writable` only what a get looks at. */
int columns_acquire(Loops *self, Columns *columns, int writable) {
    columns->count = 0;
    int flags = writable ? PyBUF_WRITABLE : PyBUF_SIMPLE;
    if (acquire(columns, self->chunks_of_block, flags) < 0 ||
        (writable && (acquire(columns, self->block_state, flags) < 0 || acquire(columns, self->free_slots, flags) < 0 ||
                      acquire(columns, self->leaf_used, flags) < 0))) {
        columns_release(columns);
        return -1;
    }
    columns->chunks_of_block = columns->buffers[0].buf;
    columns->blocks = (size_t)columns->buffers[0].len;
    if (writable) {
        columns->block_state = columns->buffers[1].buf;
        columns->free_slots = columns->buffers[2].buf;
        columns->leaf_used = columns->buffers[3].buf;
        columns->leaves = (size_t)columns->buffers[3].len;
    }
    return 0;
}

void columns_release(Columns *columns) {
    while (columns->count)
        PyBuffer_Release(&columns->buffers[--columns->count]);
}

/* put(root, shift, prefix, index, pages, family, blocks, serial, serial_limit, takes_slots) -> (how many, put or None)

   Put the pages of a run up to the first that is not everyday. */
PyObject *loops_put(Loops *self, PyObject *args) {
    Tree tree;
    Put put;
    Py_buffer pages;
    unsigned long long prefix, index, serial, limit;
    Py_ssize_t family;
    PyObject *blocks;
    int takes_slots;
    if (!PyArg_ParseTuple(args, "IiKKy*nOKKp", &tree.root, &tree.shift, &prefix, &index, &pages, &family, &blocks,
                          &serial, &limit, &takes_slots))
        return NULL;
    tree.prefix = prefix;
    Columns columns;
    PyObject *result = NULL;
    if (put_begin(self, &put, family, blocks, serial, limit, takes_slots) < 0 || columns_acquire(self, &columns, 1) < 0)
        goto release;
    Py_ssize_t done = 0, count = pages.len / PAGE_BYTES;
    int put_one = 1;
    for (; done < count; done++) {
        uint32_t place = find_entry(self, &tree, index + (uint64_t)done);
        put_one = place < FIRST_ADDRESS
                      ? 0
                      : put_page(self, &columns, &put, place, (const uint8_t *)pages.buf + done * PAGE_BYTES);
        if (put_one != 1)
            break;
    }
    if (put_one >= 0) {
        PyObject *stored = done ? put_end(self, &columns, &put) : Py_NewRef(Py_None);
        if (stored != NULL)
            result = Py_BuildValue("nNi", done, stored, put_one ? 0 : put.wanted_chunks);
    }
    columns_release(&columns);
release:
    PyBuffer_Release(&pages);
    return result;
}

static int acquire_mapping(PyObject *view, Py_buffer *buffer, Py_ssize_t unit) {
    if (PyObject_GetBuffer(view, buffer, PyBUF_WRITABLE) < 0)
        return -1;
    if ((uintptr_t)buffer->buf % (uintptr_t)unit || buffer->len % unit) {
        PyErr_SetString(PyExc_ValueError, "a mapping that is not aligned");
        return -1;
    }
    return 0;
}

static PyObject *loops_new(PyTypeObject *type, PyObject *args, PyObject *named) {
    PyObject *arena, *slot_rows, *rows, *redo, *entries, *slots_of_class;
    PyObject *chunks_of_block, *block_state, *free_slots, *leaf_used, *free_rows;
    PyObject *stacks, *open_blocks, *room_next, *room_previous;
    static char *names[] = {"arena",     "slot_rows",      "rows",            "redo",         "entries",
                            "slots_of_class", "chunks_of_block", "block_state", "free_slots", "leaf_used",
                            "free_rows", "stacks",         "open_blocks",     "room_next",    "room_previous", NULL};
    if (!PyArg_ParseTupleAndKeywords(args, named, "OOOOOOOOOOO!O!O!OO", names, &arena, &slot_rows, &rows, &redo, &entries,
                                     &slots_of_class, &chunks_of_block, &block_state, &free_slots, &leaf_used,
                                     &PyList_Type, &free_rows, &PyList_Type, &stacks, &PyList_Type, &open_blocks,
                                     &room_next, &room_previous))
        return NULL;
    Loops *self = (Loops *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->chunks_of_block = Py_NewRef(chunks_of_block);
    self->block_state = Py_NewRef(block_state);
    self->free_slots = Py_NewRef(free_slots);
    self->leaf_used = Py_NewRef(leaf_used);
    self->free_rows = Py_NewRef(free_rows);
    self->stacks = Py_NewRef(stacks);
    self->open_blocks = Py_NewRef(open_blocks);
    self->room_next = Py_NewRef(room_next);
    self->room_previous = Py_NewRef(room_previous);
    if (acquire_mapping(arena, &self->arena, 64) < 0 || acquire_mapping(slot_rows, &self->slot_rows, 4) < 0 ||
        acquire_mapping(rows, &self->rows, 8) < 0 || acquire_mapping(redo, &self->redo, 8) < 0 ||
        acquire_mapping(entries, &self->entries, 4) < 0 ||
        PyObject_GetBuffer(slots_of_class, &self->slots_of_class, PyBUF_SIMPLE) < 0) {
        Py_DECREF(self);
        return NULL;
    }
    if (self->redo.len < REDO_BYTES || self->slots_of_class.len != CLASSES) {
        PyErr_SetString(PyExc_ValueError, "a mapping of another length");
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static void loops_dealloc(Loops *self) {
    Py_buffer *buffers[] = {&self->arena, &self->slot_rows, &self->rows, &self->redo, &self->entries, &self->slots_of_class};
    for (size_t place = 0; place < sizeof buffers / sizeof *buffers; place++)
        PyBuffer_Release(buffers[place]);
    Py_XDECREF(self->chunks_of_block);
    Py_XDECREF(self->block_state);
    Py_XDECREF(self->free_slots);
    Py_XDECREF(self->leaf_used);
    Py_XDECREF(self->free_rows);
    Py_XDECREF(self->stacks);
    Py_XDECREF(self->open_blocks);
    Py_XDECREF(self->room_next);
    Py_XDECREF(self->room_previous);
    Py_TYPE(self)->tp_free((PyObject *)self);
}

static PyMethodDef loops_methods[] = {
    {"get_each", (PyCFunction)loops_get_each, METH_VARARGS, "Get pages anywhere in an object, likewise."},
    {"gather", (PyCFunction)loops_gather, METH_VARARGS, "Copy the zpages of a block that leaves."},
    {"hand_over", (PyCFunction)loops_hand_over, METH_VARARGS, "Note who holds the pages of a block that leaves."},
    {"forget", (PyCFunction)loops_forget, METH_VARARGS, "Give up the zpages of a clean block that leaves."},
    {"places", (PyCFunction)loops_places, METH_O, "Find the holder that has all pages of a get."},
    {"find_elsewhere", (PyCFunction)loops_find_elsewhere, METH_VARARGS, "Find what only holders have of a run."},
    {"come_home", (PyCFunction)loops_come_home, METH_VARARGS, "Judge what a holder gave, and keep it."},
    {"get", (PyCFunction)loops_get, METH_VARARGS, "Get a run of pages, up to the first that is damaged."},
    {"put", (PyCFunction)loops_put, METH_VARARGS, "Put a run of pages, up to the first that is not everyday."},
    {"serve", (PyCFunction)loops_serve, METH_VARARGS, "Serve requests, up to the first that is not everyday."},
    {"put_zpages", (PyCFunction)loops_put_zpages, METH_VARARGS, "Put zpages, up to the first that is not everyday."},
    {"get_zpages", (PyCFunction)loops_get_zpages, METH_VARARGS, "Get zpages, if all are everyday."},
    {"drop", (PyCFunction)loops_drop, METH_VARARGS, "Drop ranges of pages, up to the first that is not everyday."},
    {NULL, NULL, 0, NULL},
};

static PyTypeObject loops_type = {
    PyVarObject_HEAD_INIT(NULL, 0).tp_name = "ramsterd.compiled._loops.Loops",
    .tp_basicsize = sizeof(Loops),
    .tp_flags = Py_TPFLAGS_DEFAULT,
    .tp_doc = "The loops over the memory of one store.",
    .tp_new = loops_new,
    .tp_dealloc = (destructor)loops_dealloc,
    .tp_methods = loops_methods,
};

static PyObject *watch(PyObject *module, PyObject *watcher) {
    (void)module;
    Py_XSETREF(loops_watcher, watcher == Py_None ? NULL : Py_NewRef(watcher));
    Py_RETURN_NONE;
}

static PyMethodDef module_methods[] = {
    {"are_zpages", loops_are_zpages, METH_VARARGS, "Whether zpages are what a body has."},
    {"are_serials", loops_are_serials, METH_VARARGS, "Whether serials are within their limits."},
    {"are_ranges", loops_are_ranges, METH_VARARGS, "Whether ranges of serials ascend, and share nothing."},
    {"watch", watch, METH_O, "Call something after each store that another process may find; None: nothing."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, .m_name = "_loops", .m_doc = "See ramsterd.compiled.", .m_size = -1, .m_methods = module_methods,
};

/* What Python compares with its own numbers (core.twin). */
static PyObject *layout(void) {
    return Py_BuildValue("{s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:i,s:I}", "PAGE_BYTES",
                         PAGE_BYTES, "ROW_BYTES", (int)sizeof(Row), "FIRST_ROW", FIRST_ROW, "LEAF_SHIFT", LEAF_SHIFT,
                         "FIRST_ADDRESS", FIRST_ADDRESS, "BLOCK_SHIFT", BLOCK_SHIFT, "SLOT_SHIFT", SLOT_SHIFT,
                         "CHUNK_BYTES", 1 << CHUNK_SHIFT, "CLASSES", CLASSES, "ZPAGE_BYTES_MAX", ZPAGE_BYTES_MAX,
                         "PACKED_RAW", PACKED_RAW, "PACKED_FILL", PACKED_FILL, "REDO_ROW", REDO_ROW, "REDO_ZPAGE",
                         REDO_ZPAGE, "OPEN", STATE_OPEN, "CLOSED", STATE_CLOSED, "LEAVING", STATE_LEAVING, "FRAME_ROWS",
                         1 << ROW_FRAME_SHIFT, "PACKED_ZSTD", PACKED_ZSTD, "UNLISTED", UNLISTED);
}

PyMODINIT_FUNC PyInit__loops(void) {
    if (PyType_Ready(&loops_type) < 0)
        return NULL;
    PyObject *made = PyModule_Create(&module);
    if (made == NULL)
        return NULL;
    PyObject *numbers = layout();
    if (PyModule_AddObjectRef(made, "Loops", (PyObject *)&loops_type) < 0 ||
        PyModule_AddObjectRef(made, "LAYOUT", numbers) < 0 ||
        PyModule_AddIntConstant(made, "SOURCES_SUM", RAMSTER_SOURCES_SUM) < 0 ||
        PyModule_AddStringConstant(made, "LZ4_VERSION", LZ4_versionString()) < 0) {
        Py_XDECREF(numbers);
        Py_DECREF(made);
        return NULL;
    }
    Py_DECREF(numbers);
    return made;
}
