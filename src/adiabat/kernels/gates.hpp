// What kernels of gated networks share: gates and their slopes, rows that fill no whole vector, layers of a block of
// rows, and memory of a thread.
#pragma once
#include "lanes.hpp"
#include "tiles.hpp"

template <typename T>
INLINE Vec<T> load(const T* p, index_t left) {
    Vec<T> v = {};
    if (left >= Lanes<T>::count) return *(const typename Block<T>::type*)p;
    for (index_t l = 0; l < left; ++l) v[l] = p[l];
    return v;
}
template <typename T>
INLINE void store(T* p, index_t left, const Vec<T>& v) {
    if (left >= Lanes<T>::count) *(typename Block<T>::type*)p = v;
    else
        for (index_t l = 0; l < left; ++l) p[l] = v[l];
}
template <typename T>
INLINE Vec<T> logistic(const Vec<T>& x) {
    const Vec<T> e = exponential<T>(x < 0 ? x : -x), one = spread<T>(1);
    return (x < 0 ? e : one) / (one + e);
}
// Slope of x sigmoid(x).
template <typename T>
INLINE Vec<T> silu_slope(const Vec<T>& x, const Vec<T>& s) {
    return s * (1 + x * (1 - s));
}
template <typename T>
index_t padded(index_t n) {
    return (n + Lanes<T>::count - 1) / Lanes<T>::count * Lanes<T>::count;
}

// Memory of one thread, cut into pieces that begin at multiples of 64 bytes.
template <typename T>
struct Scratch {
    std::vector<T> memory;
    T* next;
    explicit Scratch(index_t size) : memory(size + Lanes<T>::count) {
        next = (T*)(((uintptr_t)memory.data() + 63) / 64 * 64);
    }
    T* take(index_t size) {
        T* found = next;
        next += size;
        return found;
    }
};

// One layer of a block of rows, or the way back.
template <typename T>
inline void layer(index_t rows, index_t inner, index_t columns, const T* a, const T* b, const T* bias, T* c,
                  index_t a_step, index_t c_step) {
    const Product<T> product(inner, columns, 0, a, b, bias, c, a_step, c_step);
    for (index_t column = 0; column < columns; column += PANEL<T>) tiles<T>(product, 0, rows, column);
}
