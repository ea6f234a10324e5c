// The derivatives of two multilinear forms over pairs p = (i, j) with half h (pair_forms.py).
#include "common.hpp"

// filtered: sum over p, d, c of g[i,d,c] x[j,d,c] w[h,c]. By g; by x it is the same, as w is the same both ways.
template <typename T>
void filtered_sum(index_t atoms, index_t parts, index_t channels, const index_t* begins, const index_t* neighbors,
                  const index_t* half_of, const T* x, const T* w, T* y, index_t threads) {
    const index_t row = parts * channels;
#pragma omp parallel for num_threads(threads) schedule(dynamic, 16)
    for (index_t i = 0; i < atoms; ++i) {
        T* out = y + i * row;
        std::fill(out, out + row, T(0));
        for (index_t p = begins[i]; p < begins[i + 1]; ++p) {
            const T* in = x + neighbors[p] * row;
            const T* __restrict factor = w + half_of[p] * channels;
            for (index_t d = 0; d < parts; ++d) {
                const T* __restrict from = in + d * channels;
                T* __restrict to = out + d * channels;
#pragma omp simd
                for (index_t c = 0; c < channels; ++c) to[c] += from[c] * factor[c];
            }
        }
    }
}

// By w.
template <typename T>
void filtered_weights(index_t halves, index_t parts, index_t channels, const index_t* first, const index_t* centers,
                      const index_t* neighbors, const T* g, const T* x, T* y, index_t threads) {
    const index_t row = parts * channels;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (index_t h = 0; h < halves; ++h) {
        const index_t i = centers[first[h]] * row, j = neighbors[first[h]] * row;
        T* __restrict out = y + h * channels;
        for (index_t d = 0; d < parts; ++d) {
            const T *gi = g + i + d * channels, *gj = g + j + d * channels;
            const T *xi = x + i + d * channels, *xj = x + j + d * channels;
            if (d == 0) {
#pragma omp simd
                for (index_t c = 0; c < channels; ++c) out[c] = gi[c] * xj[c] + gj[c] * xi[c];
            } else {
#pragma omp simd
                for (index_t c = 0; c < channels; ++c) out[c] += gi[c] * xj[c] + gj[c] * xi[c];
            }
        }
    }
}

// directed: sum over p, d, c of g[i,d,c] a[j,c] w[h,c] u[p,d] with three components d. By g.
template <typename T>
void directed_sum(index_t atoms, index_t channels, const index_t* begins, const index_t* neighbors,
                  const index_t* half_of, const T* a, const T* w, const T* u, T* y, index_t threads) {
#pragma omp parallel for num_threads(threads) schedule(dynamic, 16)
    for (index_t i = 0; i < atoms; ++i) {
        T *__restrict y0 = y + i * 3 * channels, *__restrict y1 = y0 + channels, *__restrict y2 = y1 + channels;
        std::fill(y0, y0 + 3 * channels, T(0));
        for (index_t p = begins[i]; p < begins[i + 1]; ++p) {
            const T *in = a + neighbors[p] * channels, *factor = w + half_of[p] * channels;
            const T u0 = u[3 * p], u1 = u[3 * p + 1], u2 = u[3 * p + 2];
#pragma omp simd
            for (index_t c = 0; c < channels; ++c) {
                T value = in[c] * factor[c];
                y0[c] += u0 * value;
                y1[c] += u1 * value;
                y2[c] += u2 * value;
            }
        }
    }
}

// By a: for atom j the pairs of center j are walked, whose reverses end there.
template <typename T>
void directed_back(index_t atoms, index_t channels, const index_t* begins, const index_t* neighbors,
                   const index_t* half_of, const index_t* first, const index_t* second, const T* g, const T* w,
                   const T* u, T* y, index_t threads) {
#pragma omp parallel for num_threads(threads) schedule(dynamic, 16)
    for (index_t j = 0; j < atoms; ++j) {
        T* __restrict out = y + j * channels;
        std::fill(out, out + channels, T(0));
        for (index_t q = begins[j]; q < begins[j + 1]; ++q) {
            const index_t h = half_of[q], p = first[h] + second[h] - q;
            const T *g0 = g + neighbors[q] * 3 * channels, *g1 = g0 + channels, *g2 = g1 + channels;
            const T* factor = w + h * channels;
            const T u0 = u[3 * p], u1 = u[3 * p + 1], u2 = u[3 * p + 2];
#pragma omp simd
            for (index_t c = 0; c < channels; ++c) out[c] += factor[c] * (u0 * g0[c] + u1 * g1[c] + u2 * g2[c]);
        }
    }
}

// By w.
template <typename T>
void directed_weights(index_t halves, index_t channels, const index_t* first, const index_t* second,
                      const index_t* centers, const index_t* neighbors, const T* g, const T* a, const T* u, T* y,
                      index_t threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (index_t h = 0; h < halves; ++h) {
        const index_t p = first[h], q = second[h];
        const T *g0 = g + centers[p] * 3 * channels, *g1 = g0 + channels, *g2 = g1 + channels;
        const T *b0 = g + centers[q] * 3 * channels, *b1 = b0 + channels, *b2 = b1 + channels;
        const T *ap = a + neighbors[p] * channels, *aq = a + neighbors[q] * channels;
        const T u0 = u[3 * p], u1 = u[3 * p + 1], u2 = u[3 * p + 2];
        const T v0 = u[3 * q], v1 = u[3 * q + 1], v2 = u[3 * q + 2];
        T* __restrict out = y + h * channels;
#pragma omp simd
        for (index_t c = 0; c < channels; ++c)
            out[c] = ap[c] * (u0 * g0[c] + u1 * g1[c] + u2 * g2[c]) + aq[c] * (v0 * b0[c] + v1 * b1[c] + v2 * b2[c]);
    }
}

// By u.
template <typename T>
void directed_slopes(index_t pairs, index_t channels, const index_t* half_of, const index_t* centers,
                     const index_t* neighbors, const T* g, const T* a, const T* w, T* y, index_t threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (index_t p = 0; p < pairs; ++p) {
        const T *g0 = g + centers[p] * 3 * channels, *g1 = g0 + channels, *g2 = g1 + channels;
        const T *in = a + neighbors[p] * channels, *factor = w + half_of[p] * channels;
        T y0 = 0, y1 = 0, y2 = 0;
#pragma omp simd reduction(+ : y0, y1, y2)
        for (index_t c = 0; c < channels; ++c) {
            T value = in[c] * factor[c];
            y0 += g0[c] * value;
            y1 += g1[c] * value;
            y2 += g2[c] * value;
        }
        y[3 * p] = y0, y[3 * p + 1] = y1, y[3 * p + 2] = y2;
    }
}

typedef const index_t* idx;

#define ARGUMENTS(T) (index_t n, index_t d, index_t c, idx b, idx j, idx h, const T* x, const T* w, T* y, index_t t)
EXPORT(filtered_sum, ARGUMENTS, (n, d, c, b, j, h, x, w, y, t))
#undef ARGUMENTS
#define ARGUMENTS(T) (index_t n, index_t d, index_t c, idx f, idx i, idx j, const T* g, const T* x, T* y, index_t t)
EXPORT(filtered_weights, ARGUMENTS, (n, d, c, f, i, j, g, x, y, t))
#undef ARGUMENTS
#define ARGUMENTS(T) (index_t n, index_t c, idx b, idx j, idx h, const T* a, const T* w, const T* u, T* y, index_t t)
EXPORT(directed_sum, ARGUMENTS, (n, c, b, j, h, a, w, u, y, t))
#undef ARGUMENTS
#define ARGUMENTS(T)                                                                                                  \
    (index_t n, index_t c, idx b, idx j, idx h, idx f, idx s, const T* g, const T* w, const T* u, T* y, index_t t)
EXPORT(directed_back, ARGUMENTS, (n, c, b, j, h, f, s, g, w, u, y, t))
#undef ARGUMENTS
#define ARGUMENTS(T) \
    (index_t n, index_t c, idx f, idx s, idx i, idx j, const T* g, const T* a, const T* u, T* y, index_t t)
EXPORT(directed_weights, ARGUMENTS, (n, c, f, s, i, j, g, a, u, y, t))
#undef ARGUMENTS
#define ARGUMENTS(T) (index_t n, index_t c, idx h, idx i, idx j, const T* g, const T* a, const T* w, T* y, index_t t)
EXPORT(directed_slopes, ARGUMENTS, (n, c, h, i, j, g, a, w, y, t))
