/* Whether columns of a peer's frame are what they have to be: if not, remote.wire says what is wrong. */

#include "loops.h"

static int is_packed_valid(uint32_t packed) {
    /* That of lz4 is 0. */
    uint32_t codec = packed & ~ZPAGE_BYTES_MASK, zbytes = packed & ZPAGE_BYTES_MASK;
    return packed == PACKED_RAW || ((!codec || codec == PACKED_ZSTD) && zbytes && zbytes <= ZPAGE_BYTES_MAX);
}

static int are_serials(const Py_buffer *serials, uint64_t serial_max) {
    for (Py_ssize_t at = 0; at < serials->len / 8; at++) {
        uint64_t serial = load_word(serials, at);
        if (!serial || serial > serial_max)
            return 0;
    }
    return 1;
}

/* are_zpages(packed, body bytes, may miss) -> bool

   Whether these zpages are as long together as a body; 0 is one that is missing, if that may be. */
PyObject *loops_are_zpages(PyObject *module, PyObject *args) {
    (void)module;
    Py_buffer packed;
    Py_ssize_t body_bytes, claimed = 0;
    int may_miss, are = 1;
    if (!PyArg_ParseTuple(args, "y*np", &packed, &body_bytes, &may_miss))
        return NULL;
    for (Py_ssize_t at = 0; are && at < packed.len / 2; at++) {
        uint32_t one = load_half(&packed, at);
        are = is_packed_valid(one) || (may_miss && !one);
        claimed += one & ZPAGE_BYTES_MASK;
    }
    PyBuffer_Release(&packed);
    return PyBool_FromLong(are && claimed == body_bytes);
}

/* are_serials(serials, serial_max) -> bool */
PyObject *loops_are_serials(PyObject *module, PyObject *args) {
    (void)module;
    Py_buffer serials;
    unsigned long long serial_max;
    if (!PyArg_ParseTuple(args, "y*K", &serials, &serial_max))
        return NULL;
    int are = are_serials(&serials, serial_max);
    PyBuffer_Release(&serials);
    return PyBool_FromLong(are);
}

/* are_ranges(firsts, lasts, serial_max) -> bool: they ascend, and share nothing. */
PyObject *loops_are_ranges(PyObject *module, PyObject *args) {
    (void)module;
    Py_buffer firsts, lasts;
    unsigned long long serial_max;
    if (!PyArg_ParseTuple(args, "y*y*K", &firsts, &lasts, &serial_max))
        return NULL;
    int are = firsts.len == lasts.len && are_serials(&firsts, serial_max) && are_serials(&lasts, serial_max);
    uint64_t before = 0;
    for (Py_ssize_t at = 0; are && at < firsts.len / 8; at++) {
        uint64_t first = load_word(&firsts, at), last = load_word(&lasts, at);
        are = first > before && first <= last;
        before = last;
    }
    PyBuffer_Release(&firsts);
    PyBuffer_Release(&lasts);
    return PyBool_FromLong(are);
}
