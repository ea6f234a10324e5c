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
// 1/(1 + e^-x). The argument's size is limited as a whole number, which is faster; a NaN becomes 0 or 1.
template <typename T>
INLINE Vec<T> logistic(const Vec<T>& x) {
    const Ints<T> largest = (Ints<T>)spread<T>(-Lanes<T>::lowest), bits = (Ints<T>)x;
    const Ints<T> sign = bits & (Ints<T>{} + 1) << (8 * sizeof(T) - 1), size = bits ^ sign;
    return 1 / (1 + exponential_within<T>(-(Vec<T>)((size < largest ? size : largest) | sign)));
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

// One layer of a block of rows, or the way back; C = A B + bias, or with `add` C += A B. Not inlined: addresses in
// tiles would have to give way to what surrounds them.
template <typename T>
__attribute__((noinline)) void layer(index_t rows, index_t inner, index_t columns, const T* a, const T* b,
                                     const T* bias, T* c, index_t a_step, index_t c_step, index_t add = 0) {
    const Product<T> product(inner, columns, add, a, b, bias, c, a_step, c_step);
    for (index_t column = 0; column < columns; column += PANEL<T>) tiles<T>(product, 0, rows, column);
}
