// What density_network.cpp is given, and the neighbors of a center with their radial functions.
#pragma once
#include "gates.hpp"

struct Sizes {
    index_t kinds, heads, hidden, channels, basis, angular_channels, angular_basis, l_max, invariants, fives, terms;
};
struct Term {  // a product of three harmonics in an invariant
    int32_t invariant, a, b, c;
};
struct Pair {  // screened repulsion of two elements
    double charges, rate, inner, outer, screening[8];
};

template <typename T>
struct Problem {
    index_t atoms;
    const index_t *begins, *neighbors, *kind;
    const T* vectors;
    Sizes size;
    const double *radii, *squares;  // squares: what multiplies squared harmonics
    const Term* terms;
    const double* factors;  // of the terms
    const Pair* repulsion;
    const T *radial, *angular;             // [kinds, kinds, channels, basis]
    const T *inward, *outward;             // [kinds, features, hidden] and [kinds, hidden, features], both filled up
    const T *inner_bias, *last, *last_bias;  // [kinds, hidden], [kinds, heads, hidden], [kinds, heads]
    index_t repels;
};

template <typename T>
constexpr index_t filled(index_t n) {
    return (n + Lanes<T>::count - 1) / Lanes<T>::count * Lanes<T>::count;
}

// A thread's memory, in blocks that begin at whole vectors.
template <typename T>
struct Pool {
    std::vector<char> memory;
    T* next;
    explicit Pool(index_t count) : memory(count * sizeof(T) + 64) {
        next = (T*)(((uintptr_t)memory.data() + 63) / 64 * 64);
        std::fill(next, next + count, T(0));
    }
    T* take(index_t count) { return std::exchange(next, next + filled<T>(count)); }
};

// Neighbors within reach, sorted by element, and radial functions of them.
template <typename T>
struct Neighbors {
    static constexpr int lanes = Lanes<T>::count;
    using vec = Vec<T>;
    index_t width, kinds, channels, basis, count = 0;
    std::vector<index_t> first, pair;
    T *x, *y, *z, *r, *inverse, *g, *slope;  // x, y, z: direction; g, slope: [channels][width]
    vec *f, *df;

    static index_t room(index_t width, index_t channels, index_t basis) {
        return 5 * width + 2 * channels * width + 2 * (basis + 2) * lanes;
    }
    Neighbors(Pool<T>& pool, index_t width, index_t kinds, index_t channels, index_t basis)
        : width(width), kinds(kinds), channels(channels), basis(basis), first(kinds + 1), pair(width) {
        for (T** own : {&x, &y, &z, &r, &inverse}) *own = pool.take(width);
        g = pool.take(channels * width), slope = pool.take(channels * width);
        f = (vec*)pool.take((basis + 2) * lanes), df = (vec*)pool.take((basis + 2) * lanes);
    }

    // reach: radius for each element, every second number
    void gather(const Problem<T>& q, index_t i, const double* reach) {
        auto square = [&](index_t p) {
            const T* v = q.vectors + 3 * p;
            return v[0] * v[0] + v[1] * v[1] + v[2] * v[2];
        };
        auto within = [&](index_t p, T s) {
            const T limit = (T)reach[2 * q.kind[q.neighbors[p]]];
            return s < limit * limit;
        };
        std::fill(first.begin(), first.end(), 0);
        for (index_t p = q.begins[i]; p < q.begins[i + 1]; ++p)
            if (within(p, square(p))) ++first[q.kind[q.neighbors[p]]];
        index_t start = 0;
        for (index_t a = 0; a <= kinds; ++a) start += std::exchange(first[a], start);
        count = first[kinds];
        for (index_t p = q.begins[i]; p < q.begins[i + 1]; ++p) {
            const T s = square(p);
            if (!within(p, s)) continue;
            const index_t k = first[q.kind[q.neighbors[p]]]++;
            const T* v = q.vectors + 3 * p;
            x[k] = v[0], y[k] = v[1], z[k] = v[2], r[k] = s, pair[k] = p;
        }
        for (index_t a = kinds; a > 0; --a) first[a] = first[a - 1];
        first[0] = 0;
        for (index_t k = count; k < count + lanes; ++k) x[k] = y[k] = z[k] = 0, r[k] = 1;
        for (index_t k = 0; k < count; k += lanes) {
            for (int l = 0; l < lanes; ++l) r[k + l] = std::sqrt(r[k + l]);
            const vec own = 1 / at(r + k);
            at(inverse + k) = own, at(x + k) *= own, at(y + k) *= own, at(z + k) *= own;
        }
    }

    // g_n and its slope; a group's last vector reaches into the next group, which is written after it
    void functions(const double* reach, const T* coefficients) {
        for (index_t a = 0; a < kinds; ++a)
            for (index_t k = first[a]; k < first[a + 1]; k += lanes)
                expand(k, (T)(1 / reach[2 * a]), coefficients + a * channels * basis);
        for (index_t n = 0; n < channels; ++n)
            for (index_t k = count; k < filled<T>(count); ++k) g[n * width + k] = slope[n * width + k] = 0;
    }

    INLINE void expand(index_t k, T scale, const T* c) {
        const vec u = *(const unaligned*)(r + k) * scale, t = 2 * (u - 1) * (u - 1) - 1;
        const vec dt = 4 * (u - 1) * scale;
        vec sine, cosine;
        sine_cosine<T>((u - (T)0.5) * (T)M_PI, sine, cosine);
        const vec cut = (1 - sine) * (T)0.5, fall = cosine * ((T)(-0.5 * M_PI) * scale);
        vec low = spread<T>(1), high = t, dlow = {}, dhigh = spread<T>(1);
        for (index_t m = 0; m < basis; ++m) {
            const vec half = (low + 1) * (T)0.5;
            f[m] = half * cut, df[m] = dlow * dt * cut * (T)0.5 + half * fall;
            const vec above = 2 * t * high - low, dabove = 2 * (high + t * dhigh) - dlow;
            low = high, high = above, dlow = dhigh, dhigh = dabove;
        }
        for (index_t n = 0; n < channels; n += 4) some(k, n, std::min<index_t>(4, channels - n), c);
    }

    typedef T unaligned __attribute__((vector_size(64), aligned(sizeof(T))));

    INLINE void some(index_t k, index_t n, index_t these, const T* c) {
        const T* own[4];
        vec value[4] = {}, rise[4] = {};
        for (int s = 0; s < 4; ++s) own[s] = c + (n + std::min<index_t>(s, these - 1)) * basis;
        for (index_t m = 0; m < basis; ++m)
#pragma GCC unroll 4
            for (int s = 0; s < 4; ++s) value[s] += own[s][m] * f[m], rise[s] += own[s][m] * df[m];
        for (index_t s = 0; s < these; ++s) {
            *(unaligned*)(g + (n + s) * width + k) = value[s];
            *(unaligned*)(slope + (n + s) * width + k) = rise[s];
        }
    }
};
