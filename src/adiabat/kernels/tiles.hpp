// Products with packed matrices, tile by tile: what dense.cpp and element_networks.cpp share.
#pragma once
#include "common.hpp"

// Rows and vectors of 64 bytes whose sums fit into the registers together with what they are made from.
#ifdef __AVX512F__
constexpr int ROWS = 12, VECTORS = 2;
#else
constexpr int ROWS = 6, VECTORS = 1;
#endif
constexpr index_t CHUNK = 4 * ROWS;  // rows that one thread takes at a time

template <typename T>
constexpr index_t PANEL = VECTORS * Block<T>::width;

// The columns of B are packed in panels, `inner` rows each, the last panel filled up with zeros. Rows of A begin `a_step`
// apart and those of C `c_step`.
template <typename T>
struct Product {
    index_t inner, columns, add;
    const T *a, *b, *bias;
    T* c;
    index_t a_step, c_step;
    // Runs of rows of B that are used, where not all are: first rows, in multiples of `run`, for A's columns in turn.
    const index_t* chosen = nullptr;
    index_t runs = 1, run = 0;
    Product(index_t inner, index_t columns, index_t add, const T* a, const T* b, const T* bias, T* c)
        : Product(inner, columns, add, a, b, bias, c, inner, columns) {}
    Product(index_t inner, index_t columns, index_t add, const T* a, const T* b, const T* bias, T* c, index_t a_step,
            index_t c_step)
        : inner(inner), columns(columns), add(add), a(a), b(b), bias(bias), c(c), a_step(a_step), c_step(c_step),
          run(inner) {}
};

// R rows from `row` on of one panel of C, which begins at `column`.
template <typename T, int R>
inline void tile(const Product<T>& q, index_t row, index_t column) {
    typedef typename Block<T>::type V;
    constexpr index_t width = Block<T>::width, panel = PANEL<T>;
    const T* a = q.a + row * q.a_step;
    V sums[R][VECTORS] = {};
    for (index_t s = 0; s < q.runs; ++s, a += q.run) {
        const index_t first = q.chosen ? q.chosen[s] * q.run : 0, end = std::min(q.run, q.inner - first);
        const T* b = q.b + column * q.inner + first * panel;
        for (index_t k = 0; k < end; ++k, b += panel) {
            V right[VECTORS];
            for (int v = 0; v < VECTORS; ++v) right[v] = *(const V*)(b + v * width);
#pragma GCC unroll 16
            for (int r = 0; r < R; ++r) {
                T left = a[r * q.a_step + k];
                for (int v = 0; v < VECTORS; ++v) sums[r][v] += left * right[v];
            }
        }
    }
    if (column + panel <= q.columns) {
#pragma GCC unroll 16
        for (int r = 0; r < R; ++r) {
            T* c = q.c + (row + r) * q.c_step + column;
            for (int v = 0; v < VECTORS; ++v) {
                V* place = (V*)(c + v * width);
                *place = (q.add ? *place : *(const V*)(q.bias + column + v * width)) + sums[r][v];
            }
        }
        return;
    }
    for (int r = 0; r < R; ++r) {
        T* c = q.c + (row + r) * q.c_step;
        for (index_t n = column; n < q.columns; ++n) {
            index_t k = n - column;
            c[n] = (q.add ? c[n] : q.bias[n]) + sums[r][k / width][k % width];
        }
    }
}

template <typename T, int R = ROWS>
inline void tiles(const Product<T>& q, index_t row, index_t end, index_t column) {
    for (; row + R <= end; row += R) tile<T, R>(q, row, column);
    if constexpr (R > 1)
        if (row < end) tiles<T, R - 1>(q, row, end, column);
}
