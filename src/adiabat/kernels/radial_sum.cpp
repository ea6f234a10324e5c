// y_i = sum over pairs p = (i, j) of s_p R(r_p) * x_j, channel by channel, with R from a table (radial_sum.py).
#include "common.hpp"

template <typename T>
void forward(index_t atoms, index_t channels, const index_t* begins, const index_t* neighbors, const T* r, const T* s,
             const T* x, const T* table, index_t rows, double start, double inverse_step, T* y, index_t threads) {
#pragma omp parallel for num_threads(threads) schedule(dynamic, 16)
    for (index_t i = 0; i < atoms; ++i) {
        T* __restrict out = y + i * channels;
        std::fill(out, out + channels, T(0));
        for (index_t p = begins[i]; p < begins[i + 1]; ++p) {
            if (s[p] == T(0)) continue;
            Knot<T> knot(r[p], start, inverse_step, rows);
            const T* __restrict a = table + knot.row * channels;
            const T* __restrict in = x + neighbors[p] * channels;
            T w0 = knot.w[0] * s[p], w1 = knot.w[1] * s[p], w2 = knot.w[2] * s[p], w3 = knot.w[3] * s[p];
#pragma omp simd
            for (index_t c = 0; c < channels; ++c)
                out[c] += (w0 * a[c] + w1 * a[channels + c] + w2 * a[2 * channels + c] + w3 * a[3 * channels + c]) * in[c];
        }
    }
}

// Runs over the pairs of each neighbor j, so that no two threads write to one place: `order` lists the pairs sorted by
// neighbor, `begins` where each neighbor's start.
template <typename T>
void backward(index_t atoms, index_t channels, const index_t* begins, const index_t* order, const index_t* centers,
              const T* r, const T* s, const T* x, const T* table, index_t rows, double start, double inverse_step,
              const T* gy, T* gx, T* gr, T* gs, index_t threads) {
#pragma omp parallel for num_threads(threads) schedule(dynamic, 16)
    for (index_t j = 0; j < atoms; ++j) {
        T* __restrict out = gx + j * channels;
        const T* __restrict in = x + j * channels;
        std::fill(out, out + channels, T(0));
        for (index_t q = begins[j]; q < begins[j + 1]; ++q) {
            index_t p = order[q];
            Knot<T> knot(r[p], start, inverse_step, rows);
            const T* __restrict a = table + knot.row * channels;
            const T* __restrict g = gy + centers[p] * channels;
            T slope = 0, value = 0, scale = s[p];
#pragma omp simd reduction(+ : slope, value)
            for (index_t c = 0; c < channels; ++c) {
                T a0 = a[c], a1 = a[channels + c], a2 = a[2 * channels + c], a3 = a[3 * channels + c];
                T f = knot.w[0] * a0 + knot.w[1] * a1 + knot.w[2] * a2 + knot.w[3] * a3;
                T d = knot.d[0] * a0 + knot.d[1] * a1 + knot.d[2] * a2 + knot.d[3] * a3;
                T both = in[c] * g[c];
                out[c] += scale * f * g[c];
                slope += d * both;
                value += f * both;
            }
            gr[p] = scale * slope;
            gs[p] = value;
        }
    }
}

#define FORWARD(T)                                                                                             \
    (index_t n, index_t c, const index_t* b, const index_t* j, const T* r, const T* s, const T* x, const T* t, \
     index_t rows, double start, double step, T* y, index_t threads)
EXPORT(forward, FORWARD, (n, c, b, j, r, s, x, t, rows, start, step, y, threads))

#define BACKWARD(T)                                                                                              \
    (index_t n, index_t c, const index_t* b, const index_t* o, const index_t* i, const T* r, const T* s, const T* x, \
     const T* t, index_t rows, double start, double step, const T* gy, T* gx, T* gr, T* gs, index_t threads)
EXPORT(backward, BACKWARD, (n, c, b, o, i, r, s, x, t, rows, start, step, gy, gx, gr, gs, threads))
