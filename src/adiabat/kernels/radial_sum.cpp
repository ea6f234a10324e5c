// y_i = sum over pairs p = (i, j) of s_p R(r_p) * x_j, channel by channel, with R from a table (radial_sum.py).
#include "common.hpp"

template <typename T>
void forward(index_t atoms, index_t channels, const index_t* begins, const index_t* neighbors, const T* r, const T* s,
             const T* x, const T* table, index_t intervals, double start, double inverse_step, T* y, index_t threads) {
#pragma omp parallel for num_threads(threads) schedule(dynamic, 16)
    for (index_t i = 0; i < atoms; ++i) {
        T* __restrict out = y + i * channels;
        std::fill(out, out + channels, T(0));
        for (index_t p = begins[i]; p < begins[i + 1]; ++p) {
            if (s[p] == T(0)) continue;
            Knot<T> knot(r[p], start, inverse_step, intervals);
            const T* __restrict a = table + knot.interval * 4 * channels;
            const T *__restrict b = a + channels, *__restrict d = b + channels, *__restrict e = d + channels;
            const T* __restrict in = x + neighbors[p] * channels;
            T u = knot.u, scale = s[p];
#pragma omp simd
            for (index_t c = 0; c < channels; ++c)
                out[c] += scale * (a[c] + u * (b[c] + u * (d[c] + u * e[c]))) * in[c];
        }
    }
}

// Runs over the pairs of each neighbor j, so that no two threads write to one place: `order` lists the pairs sorted by
// neighbor, `begins` where each neighbor's start.
template <typename T>
void backward(index_t atoms, index_t channels, const index_t* begins, const index_t* order, const index_t* centers,
              const T* r, const T* s, const T* x, const T* table, index_t intervals, double start, double inverse_step,
              const T* gy, T* gx, T* gr, T* gs, index_t threads) {
#pragma omp parallel for num_threads(threads) schedule(dynamic, 16)
    for (index_t j = 0; j < atoms; ++j) {
        T* __restrict out = gx + j * channels;
        const T* __restrict in = x + j * channels;
        std::fill(out, out + channels, T(0));
        for (index_t q = begins[j]; q < begins[j + 1]; ++q) {
            index_t p = order[q];
            Knot<T> knot(r[p], start, inverse_step, intervals);
            const T* __restrict a = table + knot.interval * 4 * channels;
            const T *__restrict b = a + channels, *__restrict d = b + channels, *__restrict e = d + channels;
            const T* __restrict g = gy + centers[p] * channels;
            T slope = 0, value = 0, scale = s[p], u = knot.u;
#pragma omp simd reduction(+ : slope, value)
            for (index_t c = 0; c < channels; ++c) {
                T f = a[c] + u * (b[c] + u * (d[c] + u * e[c]));
                T df = b[c] + u * (2 * d[c] + u * 3 * e[c]);
                T both = in[c] * g[c];
                out[c] += scale * f * g[c];
                slope += df * both;
                value += f * both;
            }
            gr[p] = scale * slope * knot.slope;
            gs[p] = value;
        }
    }
}

#define FORWARD(T)                                                                                             \
    (index_t n, index_t c, const index_t* b, const index_t* j, const T* r, const T* s, const T* x, const T* t, \
     index_t intervals, double start, double step, T* y, index_t threads)
EXPORT(forward, FORWARD, (n, c, b, j, r, s, x, t, intervals, start, step, y, threads))

#define BACKWARD(T)                                                                                              \
    (index_t n, index_t c, const index_t* b, const index_t* o, const index_t* i, const T* r, const T* s, const T* x, \
     const T* t, index_t intervals, double start, double step, const T* gy, T* gx, T* gr, T* gs, index_t threads)
EXPORT(backward, BACKWARD, (n, c, b, o, i, r, s, x, t, intervals, start, step, gy, gx, gr, gs, threads))
