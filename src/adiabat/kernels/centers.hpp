// How a kernel of rows walks over its centers, for values, for a gradient and for a Jacobian.
//
// Each center writes to its own row and its own pairs, so nothing depends on the number of threads.
#pragma once
#include <limits>

#include "common.hpp"

enum Mode { VALUES, PULL, JACOBIAN };

// Center<T, MODE>(problem).evaluate(i, row, made): `row` is the center's own, to write (VALUES) or to read (PULL).
template <template <typename, Mode> class Center, typename T, Mode MODE, typename P>
void sweep(const P& q, const T* rows, T* made, index_t threads) {
    const index_t pairs = q.atoms ? q.begins[q.atoms] : 0;
    const index_t count = MODE == VALUES ? q.atoms * q.size : pairs * (MODE == PULL ? 3 : 3 * q.size);
    if (std::any_of(q.kind, q.kind + q.atoms, [&](index_t e) { return e < 0 || e >= q.kinds; })) {
        std::fill(made, made + count, std::numeric_limits<T>::quiet_NaN());
        return;
    }
#pragma omp parallel num_threads(threads) if (q.atoms > 1)
    {
        Center<T, MODE> center(q);
#pragma omp for schedule(dynamic, 8)
        for (index_t i = 0; i < q.atoms; ++i)
            center.evaluate(i, (MODE == VALUES ? made : (T*)rows) + (MODE == JACOBIAN ? 0 : i * q.size), made);
    }
}

// What Python calls, where PROBLEM(T) are the parameters of a kernel and GIVEN(T) the Problem<T> made of them.
#define SWEEPS(name, T)                                                                       \
    extern "C" void forward_##name(PROBLEM(T), T* values, index_t threads) {                  \
        sweep<Center, T, VALUES>(GIVEN(T), nullptr, values, threads);                         \
    }                                                                                         \
    extern "C" void backward_##name(PROBLEM(T), const T* rows, T* made, index_t threads) {    \
        sweep<Center, T, PULL>(GIVEN(T), rows, made, threads);                                \
    }                                                                                         \
    extern "C" void jacobian_##name(PROBLEM(T), T* made, index_t threads) {                   \
        sweep<Center, T, JACOBIAN>(GIVEN(T), nullptr, made, threads);                         \
    }
